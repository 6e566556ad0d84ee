import Dispatch

/// Runs a blocking body on a thread that no task waits for.
package func aside<Result: Sendable, Failure: Error>(
    _ body: @escaping @Sendable () throws(Failure) -> Result
) async throws(Failure) -> Result {
    let result = await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            do throws(Failure) { continuation.resume(returning: Swift.Result<Result, Failure>.success(try body())) } catch {
                continuation.resume(returning: .failure(error))
            }
        }
    }
    return try result.get()
}
