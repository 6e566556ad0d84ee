import AerostatHost
import Testing

@Suite struct WallClockTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (1_795_865_641_999, "2026-11-28T11:34:01Z"), (951_782_399_000, "2000-02-28T23:59:59Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59Z"),
        ] as [(UInt64, String)]
    )
    func `A time is written as ISO 8601 has it`(milliseconds: UInt64, text: String) {
        #expect(WallClock.iso8601(milliseconds) == text)
    }

    @Test(arguments: [253_402_300_800_000, UInt64.max] as [UInt64])
    func `A time after the year 9999 has no such text`(milliseconds: UInt64) { #expect(WallClock.iso8601(milliseconds) == nil) }
}
