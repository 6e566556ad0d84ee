import FoundationEssentials

/// A path from the root on, for a process that has another working folder, or a reader in another one.
package func absolutePath(_ path: String) -> String {
    path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
}
