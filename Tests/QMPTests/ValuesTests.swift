import AerostatMigration
import AerostatQMP
import Testing

@Suite struct ValuesTests {
    @Test(arguments: [
        ("0", 0), ("4096", 4096), ("1KiB", 1024), ("4GiB", 4 << 30), ("1.5GiB", 3 << 29), ("1TiB", 1 << 40), ("0.5KiB", 512),
        ("0.1MiB", 104_857), ("9223372036854775807", .max), ("8388607TiB", 8_388_607 << 40), ("0.999999999TiB", 1_099_511_626_676),
    ])
    func `sizes`(_ text: String, _ bytes: Int) throws {
        #expect(try Values.size(text) == bytes)
    }

    @Test(arguments: [
        ("512M", "512MiB"), ("4G", "4GiB"), ("1T", "1TiB"), ("512K", "512KiB"), ("1.5G", "1.5GiB"), ("4g", "4GiB"), ("64k", "64KiB"),
        ("512m", "512MiB"), ("4gib", "4GiB"), ("2MIB", "2MiB"), ("8388607T", "8388607TiB"),
    ])
    func `sizes as other tools write them`(_ text: String, _ same: String) throws {
        #expect(try Values.size(text) == Values.size(same))
    }

    @Test(arguments: [
        "", "-1", "-1GiB", "+1", "4GB", "4gb", "4Gi", "4GiBs", "4iB", "4B", "4P", "K", "GiB", "G", "4 GiB", "1.5", "1.", ".5GiB", "1..5GiB",
        "0x10", "٤GiB", "4\u{212A}", "1e3", "four", "9223372036854775808", "8388608TiB", "8388608T", "99999999999999999999GiB", "1_000",
    ])
    func `invalid sizes`(_ text: String) {
        #expect(throws: ValueError.self) { try Values.size(text) }
    }

    @Test(arguments: [
        ("0", 0), ("8", 1), ("8k", 1000), ("8G", 1_000_000_000), ("8g", 1_000_000_000), ("2.5G", 312_500_000), ("100M", 12_500_000),
        ("4Gbit", 500_000_000), ("4Gbps", 500_000_000), ("500Mbit/s", 62_500_000), ("1M", 125_000), ("1m", 125_000), ("64kbit/s", 8000),
        ("64Kbps", 8000), ("2.5gbit", 312_500_000), ("100MBIT", 12_500_000), ("64bit/s", 8), ("800bps", 100), ("0bit", 0), ("0Gbps", 0),
    ])
    func `rates`(_ text: String, _ bytesPerSecond: Int) throws {
        #expect(try Values.rate(text) == bytesPerSecond)
    }

    @Test(arguments: [
        "", "-8G", "7", "8T", "8GiB", "8GB", "8Gb", "8GBps", "8GB/s", "8Gb/s", "8GBPS", "8Gbits", "8Gbit/", "8Gibit", "7bit", "8 Gbit/s",
        "8kk", "bit/s", "G", "Gbit",
        "9223372036854775807k", "0.0000001k",
    ])
    func `invalid rates`(_ text: String) {
        // The last one is less than a byte a second, and must not become "no limit".
        #expect(throws: ValueError.self) { try Values.rate(text) }
    }

    @Test(arguments: [
        ("300ms", Duration.milliseconds(300)), ("0s", .zero), ("1.5s", .milliseconds(1500)), ("0.25ms", .microseconds(250)),
        ("2000s", .seconds(2000)),
    ])
    func `times`(_ text: String, _ duration: Duration) throws {
        #expect(try Values.duration(text) == duration)
    }

    @Test(arguments: ["", "300", "-1s", "1m", "1h", "s", "ms", "1,5s", "99999999999s", "1 s", "infs"])
    func `invalid times`(_ text: String) {
        #expect(throws: ValueError.self) { try Values.duration(text) }
    }

    @Test(arguments: [("0%", 0), ("10%", 0.1), ("100%", 1), ("12.5%", 0.125)])
    func `shares`(_ text: String, _ share: Double) throws {
        #expect(try Values.percentage(text) == share)
    }

    @Test(arguments: ["", "10", "-1%", "101%", "100.1%", "%", "ten%"])
    func `invalid shares`(_ text: String) {
        #expect(throws: ValueError.self) { try Values.percentage(text) }
    }

    @Test func `an error names the text and what is expected`() {
        let error = #expect(throws: ValueError.self) { try Values.size("4GB") }
        #expect(
            error?.description
                == "'4GB': a size is a number with K, M, G or T, also as KiB, MiB, GiB or TiB, powers of 1024 (4G); or plain bytes"
        )
        let rate = #expect(throws: ValueError.self) { try Values.rate("8GB/s") }
        #expect(
            rate?.description == "'8GB/s': a rate is a number of bits a second with k, M or G, also as Mbit/s or Mbps (8G); 0 is no limit"
        )
    }
}

@Suite struct FiguresTests {
    @Test(arguments: [
        (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.00 KiB"), (5 << 29, "2.50 GiB"), (300 << 20, "300 MiB"), (-2048, "-2.00 KiB"),
    ])
    func `sizes are readable`(_ bytes: Int, _ text: String) {
        #expect(Figures.size(bytes) == text)
    }

    @Test(arguments: [
        (0.0, "0.0 ms"), (1.26, "1.3 ms"), (12.4, "12 ms"), (1234, "1.23 s"), (45_678, "45.7 s"), (320_000, "5 min 20 s"),
        (.nan, "0 min 0 s"),
    ])
    func `times are readable`(_ milliseconds: Double, _ text: String) {
        #expect(Figures.time(milliseconds: milliseconds) == text)
    }

    @Test func `rates and counts are readable`() {
        #expect(Figures.rate(bytesPerSecond: 1.25e9) == "10.0 Gbit/s")
        #expect(Figures.rate(bytesPerSecond: .infinity).hasSuffix("Tbit/s"))
        #expect(Figures.count(1_234_567) == "1,234,567")
        #expect(Figures.count(-999) == "-999")
        #expect(Figures.count(.min) == "-9,223,372,036,854,775,808")
    }

    @Test(arguments: [
        // Bytes sent, harvests, milliseconds, the estimate.
        (4 << 20, 0, 200, "no estimate yet"), (63 << 20, 0, 4999, "no estimate yet"), (7 << 20, 0, 60_000, "no estimate yet"),
        (64 << 20, 0, 60, "about 8.59 s to go"), (8 << 20, 0, 5000, "about 8.59 s to go"), (1 << 20, 1, 20, "about 8.59 s to go"),
    ])
    func `an estimate is shown once enough was sent`(_ sent: Int, _ harvests: Int, _ milliseconds: Int, _ words: String) {
        var report = MigrationReport()
        report.status = .active
        report.rounds = [MigrationReport.Round(number: 1, start: 1)]
        (report.ram.transferred, report.ram.dirtySyncCount, report.totalTime) = (sent, harvests, milliseconds)
        (report.ram.remaining, report.ram.mbps) = (1 << 30, 1000)
        #expect(MigrationText(report).progress.last?.hasSuffix(", \(words)") == true, "\(MigrationText(report).progress)")
        // For a paused guest an estimate is shown at once. No estimate exceeds a day.
        report.status = .device
        #expect(MigrationText(report).progress.last?.hasSuffix(", about 8.59 s to go") == true)
        report.ram.mbps = 0.05
        #expect(MigrationText(report).progress.last?.hasSuffix(", more than a day to go") == true)
    }

    @Test func `What the balloon did has lines in the table, and none where it did nothing`() throws {
        var report = MigrationReport()
        (report.status, report.ram.transferred) = (.completed, 1)
        let names = ["in the balloon", "reported as free", "given back"]
        func lines() -> [String] { MigrationText(report).table.filter { line in names.contains { line.contains($0) } } }
        #expect(lines().isEmpty)
        (report.balloon.balloonedPages, report.balloon.discardedPages) = (256, 1 << 18)
        #expect(lines() == ["  in the balloon      256 (1.00 MiB)", "  given back          262,144 (1.00 GiB)"])
        #expect(try report.json["balloon"]?["ballooned-pages"] == 256)
        #expect(try MigrationReport(json: report.json) == report)
    }

    @Test func `every report can be shown`() {
        var report = MigrationReport()
        report.ram.mbps = .nan
        report.ram.dirtyPagesRate = .max
        report.ram.remaining = .min
        report.absentPages = .max
        #expect(MigrationText(report).table.isEmpty, "nothing was sent")
        report.ram.transferred = .max
        report.verify = .init(status: .failed, pagesCompared: .max, pagesFree: 0, differences: 1)
        #expect(MigrationText(report).progress.count == 1, "no round began")
        report.rounds = [MigrationReport.Round(number: .max, start: .infinity)]
        #expect(MigrationText(report).progress.count == 2)
        #expect(MigrationText(report).table.count >= 6)
    }
}
