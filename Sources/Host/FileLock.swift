import CLinux
import Glibc
import SystemPackage

/// A lock on an open file: for whoever runs a guest from it, or writes to it.
///
/// It is `flock(2)`. That lock belongs to the open file, not to its path and not to the process: it guards what is really read, mappings keep
/// it too, and it goes with the last of them, also when the process is killed. OFD locks do the same, but an exclusive one takes a
/// descriptor that may be written, and an image may lie on a file system that is read-only.
package enum FileLock: Sendable {
    /// Several may hold it at a time.
    case shared
    /// One holds it, and nobody a shared one.
    case exclusive
}

/// Whether a path leads to an open file.
package enum Naming: Sendable {
    case same
    /// To another file, or to none.
    case different
    /// The file system does not say.
    case unknown
}

extension OwnedDescriptor {
    /// Takes a lock, without waiting for it.
    /// - Returns: false where somebody holds one that excludes it.
    package func lock(_ kind: FileLock) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try retryingInterrupts("lock the file") { flock(number, (kind == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB) }
            return true
        } catch {
            if error.code == .wouldBlock { return false }
            throw error
        }
    }

    package func unlock() { flock(number, LOCK_UN) }

    /// Another descriptor of the same open file, which keeps its lock as well.
    package func duplicate() throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(adopting: try retryingInterrupts("duplicate a descriptor") { aerostat_fcntl(number, F_DUPFD_CLOEXEC, 0) })
    }

    /// The same file opened anew, whatever its path leads to by now.
    package func reopen(flags: Int32) throws(SystemError) -> OwnedDescriptor { try .open("/proc/self/fd/\(number)", flags: flags) }

    /// Whether a path leads here.
    /// - Parameter followsLink: whether a symbolic link at its end is followed.
    package func naming(of path: String, followsLink: Bool = false) -> Naming {
        var (mine, named) = (stat(), stat())
        guard unsafe fstat(number, &mine) == 0 else { return .unknown }
        guard unsafe followsLink ? stat(path, &named) == 0 : lstat(path, &named) == 0 else {
            return errno == ENOENT || errno == ENOTDIR ? .different : .unknown
        }
        return mine.st_ino == named.st_ino && mine.st_dev == named.st_dev ? .same : .different
    }

    /// Whether it is a regular file.
    package var isRegularFile: Bool {
        var status = stat()
        return unsafe fstat(number, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Writes all of `bytes`, from `offset` on where there is one; waits where a reader is slow.
    /// - Parameter path: for the message.
    package func writeAll(_ bytes: [UInt8], at offset: UInt64? = nil, path: String) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            do throws(SystemError) {
                done += try retryingInterrupts("write to the file", place: path) {
                    unsafe bytes.withUnsafeBytes {
                        let (start, count) = unsafe ($0.baseAddress! + done, bytes.count - done)
                        guard let offset else { return unsafe Glibc.write(number, start, count) }
                        return unsafe pwrite(number, start, count, Int(offset) + done)
                    }
                }
            } catch {
                guard error.code == .wouldBlock else { throw error }
                var entry = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
                _ = unsafe poll(&entry, 1, -1)
            }
        }
    }
}
