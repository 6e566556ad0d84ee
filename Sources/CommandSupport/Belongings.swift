package import AerostatHost
import Foundation
import Glibc
import Synchronization
import SystemPackage

/// What a command creates while it runs: child processes and a temporary folder. Both go when the command ends, whether it ends by an error
/// or by a termination signal. After SIGKILL the kernel ends the children, but the folder stays.
package final class Belongings: Sendable {
    /// How long to wait for killed children. They end at once unless they hang in the kernel.
    private static let patience = Duration.seconds(5)

    /// The folder. A thread that ends the process holds the lock until the process is gone.
    private let folder = Mutex<String?>(nil)
    /// Called for each signal; returns whether the command must end at once.
    private let endsAtOnce: @Sendable (Int32) -> Bool

    /// Watches for termination signals from now on.
    /// - Parameter endsAtOnce: called for each signal, on a thread of its own. Signals that come meanwhile wait, and several of one number
    ///   become one.
    package init(endsAtOnce: @escaping @Sendable (Int32) -> Bool = { _ in true }) throws(SystemError) {
        self.endsAtOnce = endsAtOnce
        try SignalWatch.start(SignalWatch.endings) { [self] number in
            if self.endsAtOnce(number) { endProcess(by: number) }
        }
    }

    /// Makes a folder for temporary files, which only this user may enter. There can be only one at a time.
    /// - Parameter name: how its name begins. Keep it short: a socket's path has a length limit.
    /// - Returns: its path.
    package func makeFolder(_ name: String) throws(SystemError) -> String {
        try folder.withLock { (folder) throws(SystemError) in
            precondition(folder == nil, "the last folder is still there")
            var template = FileManager.default.temporaryDirectory.appending(path: "\(name)-XXXXXX").path.utf8CString.map(\.self)
            guard unsafe mkdtemp(&template) != nil else {
                throw SystemError("make a folder for temporary files", place: "\(name)-XXXXXX", code: Errno(rawValue: errno))
            }
            let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            folder = path
            return path
        }
    }

    /// Removes the folder, if it is still there.
    package func removeFolder() { folder.withLock { Self.remove(&$0) } }

    /// Returns at once, unless a signal is ending the process. Then it never returns.
    package func checkpoint() { folder.withLock { _ in } }

    /// Kills the children and removes the folder.
    package func end() { folder.withLock { Self.clear(&$0) } }

    private static func clear(_ folder: inout String?) {
        ChildProcess.endAll(within: patience)
        remove(&folder)
    }

    private static func remove(_ folder: inout String?) {
        if let path = folder.take() { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Ends the process with the exit code that a shell shows for a signal.
    private func endProcess(by number: Int32) {
        // A second signal ends the process at once.
        SignalWatch.end(SignalWatch.endings)
        folder.withLock { folder in
            Self.clear(&folder)
            ProcessLog.flush()
            // Not exit(): other threads are still running, and it would destroy objects that they use.
            _exit(128 + number)
        }
    }
}
