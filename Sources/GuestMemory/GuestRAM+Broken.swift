#if BrokenEngines
    import AerostatHost

    extension GuestRAM {
        /// Call before a device's write that a broken engine forgets to mark; see `BrokenEngine`.
        /// - Returns: what to call after the write.
        package func unmarkingWrite(at address: GuestAddress) -> () -> Void {
            guard BrokenEngine.isActive(.forgetsDeviceWrite), let page = regions.page(containing: address), !writeLog.contains(page) else {
                return {}
            }
            return { [writeLog] in writeLog.remove(PageRun(first: page, count: 1)) }
        }
    }
#endif
