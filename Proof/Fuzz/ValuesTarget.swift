import AerostatHost
import AerostatMigrationIO
import AerostatQMP

/// What people type: URIs, sizes, rates, times, shares. The first byte chooses which, the rest is the text.
enum ValuesTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        let text = String(decoding: input.dropFirst(), as: UTF8.self)
        switch (input.first ?? 0) % 5 {
        case 0: readURI(text)
        case 1:
            guard let size = try? Values.size(text) else { return }
            demand(size >= 0, "a size is not negative")
            demand((try? Values.size(String(size))) == size, "a size in bytes is itself")
        case 2:
            guard let rate = try? Values.rate(text) else { return }
            demand(rate >= 0, "a rate is not negative")
            demand(rate > 0 || !text.contains { ("1"..."9").contains($0) }, "only zero has no limit")
        case 3:
            guard let time = try? Values.duration(text) else { return }
            demand(time >= .zero && time <= .nanoseconds(Int.max), "a time is not negative")
        default:
            guard let share = try? Values.percentage(text) else { return }
            demand((0...1).contains(share), "a share is from 0 to 1")
        }
    }

    private static func readURI(_ text: String) {
        let uri: MigrationURI
        do throws(MigrationURI.ParseError) { uri = try MigrationURI(text) } catch {
            demand(error.description.utf8.contains(text.utf8), "a refusal names the text")
            return
        }
        if case .socket(.unix(let path)) = uri { demand(!path.isEmpty && path.utf8.count <= 107, "a socket's path fits") }
        demand((try? MigrationURI(uri.description)) == uri, "\(uri) is read as what it was written from")
    }
}
