import AerostatGuestMemory
import AerostatHost
import AerostatMigration
import AerostatMigrationIO
import AerostatModelGuest

/// A guest image: opened, verified, compared with itself, read into memory both ways, and its device state loaded.
///
/// The input is `ImageText`: the pieces of a sparse file. Unless its flags say otherwise, checksums, counts and offsets are made right,
/// as whoever forges an image would, so that what lies behind them is reached.
enum ImageTarget: FuzzTarget {
    private static let file = ScratchFile()

    static func run(_ input: [UInt8]) {
        let text = ImageText(input)
        text.write(to: file)
        let image: GuestImage
        do throws(ImageError) { image = try GuestImage(opening: file.path) } catch {
            demand(!error.description.isEmpty, "a refusal has words")
            return
        }
        let header = image.header
        demand(
            image.deviceSections.count == header.deviceSections && image.requirements.count == header.requirements,
            "the header counts the sections"
        )
        // A name that is no UTF-8 is repaired, which may make it longer.
        var plain = header
        plain.creator = "fuzz"
        demand((try? ImageHeader(decoding: plain.encode(), fileBytes: header.fileBytes)) == plain, "a header is written as it was read")
        _ = ImageSummary(image)
        guard header.regions.pageCount <= ImageText.maximumPages else { return }
        demand(!text.hasPageOfTwoStates(file, header.layout), "a page has one state")
        check(image, text.writtenPages)
    }

    private static func check(_ image: GuestImage, _ written: Set<Int>) {
        let verification: ImageVerification
        do throws(ImageError) { verification = try image.verify() } catch { return }
        demand(verification.pagesChecked == image.header.dataPages, "every page with data is compared with its checksum")
        do throws(ImageError) {
            let difference = try image.compare(with: GuestImage(opening: file.path))
            demand(difference.isSameMemory && difference.differingSections.isEmpty, "an image is like itself")
            demand(difference.pagesCompared + difference.pagesFree == image.header.regions.pageCount, "every page is compared, or free")
            let memory = try image.lazyMemory()
            let preloaded: GuestRAM
            do throws(ImageError) { preloaded = try image.preloadedMemory() } catch {
                demand(!verification.isClean, "what is verified is read: \(error)")
                return
            }
            if verification.isClean {
                for page in written where page < memory.pageCount {
                    demand(memory.checksum(PageIndex(page)) == preloaded.checksum(PageIndex(page)), "both ways of reading read the same")
                }
            }
            restore(image, in: memory)
        } catch {
            demand(false, "what was opened and verified is read: \(error)")
        }
    }

    /// As `aerostat run --restore` does, short of running it.
    private static func restore(_ image: GuestImage, in memory: GuestRAM) {
        guard let guest = try? ModelGuest(shell: memory, tracker: .software) else { return }
        do throws(GuestError) { try guest.loadDeviceState(image.deviceSections) } catch {
            demand((try? guest.saveDeviceState()) == nil, "a guest whose state was refused has none")
            return
        }
        _ = guest.memoryUse()
        _ = try? guest.check()
        guard let saved = try? guest.saveDeviceState() else { return demand(false, "a guest that was loaded can be saved") }
        let again = try? ModelGuest(shell: memory, tracker: .software)
        demand((try? again?.loadDeviceState(saved)) != nil, "what was saved is loaded")
    }
}
