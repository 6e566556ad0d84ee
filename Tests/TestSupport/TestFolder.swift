package import AerostatHost
import Glibc
import SystemPackage

/// A test's own folder. It is removed, with everything in it, when this object ends.
package final class TestFolder: Sendable {
    package let path: String

    package init() throws(SystemError) {
        var template = Array("/tmp/aerostat-test-XXXXXX".utf8CString)
        let made = unsafe template.withUnsafeMutableBufferPointer { unsafe mkdtemp($0.baseAddress!).map { unsafe String(cString: $0) } }
        guard let made else { throw SystemError("make a folder", code: Errno(rawValue: errno)) }
        path = made
    }

    deinit {
        for name in entries { unsafe unlink(self[name]) }
        unsafe rmdir(path)
    }

    package subscript(name: String) -> String { path + "/" + name }

    /// The names of the files in it.
    package var entries: [String] {
        guard let folder = unsafe opendir(path) else { return [] }
        defer { unsafe _ = closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
