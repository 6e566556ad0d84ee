import CLinux
import Glibc
import SystemPackage

/// A lock on an open file, for a process that runs a guest from it or writes to it.
///
/// This is `flock(2)`. The lock belongs to the open file, not to its path or to the process. So it guards the file that is really read,
/// mappings keep it too, and it ends with the last of them, even if the process is killed. OFD locks do the same, but an exclusive OFD lock
/// needs a writable descriptor, and an image may lie on a read-only file system.
package enum FileLock: Sendable {
    /// Several holders at a time.
    case shared
    /// One holder, and no shared ones.
    case exclusive
}

/// Whether a path leads to an open file.
package enum Naming: Sendable {
    case same
    /// The path leads to another file, or to none.
    case different
    /// The file system does not tell.
    case unknown
}

extension OwnedDescriptor {
    /// Takes a lock without waiting.
    /// - Returns: false if somebody holds a conflicting lock.
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

    /// Another descriptor of the same open file, which keeps its lock too.
    package func duplicate() throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(adopting: try retryingInterrupts("duplicate a descriptor") { aerostat_fcntl(number, F_DUPFD_CLOEXEC, 0) })
    }

    /// Opens the same file again, even if its path leads to another one by now.
    package func reopen(flags: Int32) throws(SystemError) -> OwnedDescriptor { try .open("/proc/self/fd/\(number)", flags: flags) }

    /// Whether a path leads to this file.
    /// - Parameter followsLink: whether to follow a symbolic link at its end.
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

    /// Writes all of `bytes`, at `offset` if there is one. Waits for a slow reader.
    /// - Parameter path: for the error message.
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
