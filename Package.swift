// swift-tools-version: 6.2

import PackageDescription

/// Set by tools/fuzz alone: our modules are built with libFuzzer's coverage, and the program that feeds them stands in place of all else.
let fuzzing = Context.environment["AEROSTAT_FUZZ"]
let isFuzzing = fuzzing != nil
/// With "address" each access is checked too, and what C leaves undefined in the shims ends the program.
let fuzzer: [String] =
    switch fuzzing {
    case nil: []
    case "address": ["-sanitize=fuzzer,address", "-Xcc", "-fsanitize=undefined", "-Xcc", "-fno-sanitize-recover=undefined"]
    default: ["-sanitize=fuzzer"]
    }
/// Set by tools/coverage and 'tools/simulate --broken': the engine, its tests and its simulator, and nothing around them.
let isProving = Context.environment["AEROSTAT_PROOF"] != nil

/// The settings of every Swift target, in one place.
let swiftSettings: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .strictMemorySafety(),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ] + (isFuzzing ? [.unsafeFlags(fuzzer)] : [])

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], exclude: exclude, swiftSettings: swiftSettings)
}

let package = Package(
    name: "aerostat",
    products: [
        .executable(name: "aerostat", targets: ["aerostat"]),
        .library(
            name: "Aerostat",
            targets: [
                "Host", "GuestMemory", "IOUring", "Migration", "Virtio", "Balloon", "Entropy", "MigrationIO", "ModelGuest", "MicroVM",
                "Control",
            ]
        ),
    ],
    traits: [
        .trait(
            name: "BrokenEngines",
            description: "Compiles deliberately broken variants in, for tools/simulate and tools/stress-broken. Never part of what is used."
        )
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    ],
    targets: [
        // C: header-only shims, the tiny guest's machine code, and the system's liburing.
        .target(name: "CLinux"),
        .target(name: "CTinyGuest"),
        .systemLibrary(name: "CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),

        // An arrow of imports only ever points up this list (ARCHITECTURE.md).
        module("Host", ["CLinux", system]),
        module("GuestMemory", ["Host", "CLinux", system]),
        module("IOUring", ["Host", "CLiburing", system]),
        module("Migration", ["GuestMemory", "Host"]),
        module("Virtio", ["Migration", "GuestMemory", "Host"]),
        module("Balloon", ["Virtio", "GuestMemory", "Migration", "Host"]),
        module("Entropy", ["Virtio", "GuestMemory", "Migration", "Host", "CLinux", system]),
        module("MigrationIO", ["Migration", "GuestMemory", "IOUring", "Host", "CLiburing", system, logging]),
        module("ModelGuest", ["Virtio", "Balloon", "Entropy", "Migration", "GuestMemory", "Host"]),
        module("MicroVM", ["CTinyGuest", "Virtio", "Balloon", "Entropy", "Migration", "GuestMemory", "Host", "CLinux", system]),
        module(
            "Control",
            [
                "Migration", "Balloon", "Host", system, logging,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .executableTarget(
            name: "aerostat",
            dependencies: [
                "Host", "GuestMemory", "Migration", "MigrationIO", "Virtio", "Balloon", "ModelGuest", "MicroVM", "Control",
                system, logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings
        ),

        // Tests mirror the modules.
        .target(
            name: "TestSupport",
            dependencies: ["GuestMemory", "Migration", "MigrationIO", "Virtio", "Balloon", "Host", "CLinux", system],
            path: "Tests/TestSupport",
            swiftSettings: swiftSettings
        ),
        // The deterministic simulator: stackful coroutines, the simulated world, and the program behind tools/simulate.
        .target(name: "CCoroutine", path: "Tests/CCoroutine"),
        .target(
            name: "SimulationSupport",
            dependencies: [
                "CCoroutine", "TestSupport", "GuestMemory", "Migration", "MigrationIO", "Virtio", "Balloon", "Host",
            ],
            path: "Tests/SimulationSupport",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "simulate",
            dependencies: ["SimulationSupport", "Host", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Tests/simulate",
            swiftSettings: swiftSettings
        ),
        tests("SimulationTests", ["SimulationSupport", "Host"]),
        tests("HostTests", ["Host", "CLinux", system]),
        tests("GuestMemoryTests", ["GuestMemory", "Host", "CLinux", system]),
        tests("IOUringTests", ["IOUring", "Host", system]),
        tests("MigrationTests", ["Migration", "GuestMemory", "Host"]),
        tests("VirtioTests", ["Virtio", "Migration", "GuestMemory", "Host"]),
        tests("BalloonTests", ["Balloon", "Virtio", "GuestMemory", "Migration", "Host"]),
        tests("EntropyTests", ["Entropy", "Virtio", "GuestMemory", "Migration", "Host"]),
        tests("DeviceContractTests", ["Entropy", "Balloon", "Virtio", "GuestMemory", "Migration", "Host"]),
        tests("MigrationIOTests", ["MigrationIO", "Migration", "GuestMemory", "Host", logging]),
        tests("ModelGuestTests", ["ModelGuest", "Virtio", "Balloon", "Migration", "GuestMemory", "Host"]),
        tests("MicroVMTests", ["MicroVM", "MigrationIO", "Balloon", "Virtio", "Migration", "GuestMemory", "Host", "CLinux", system]),
        tests("ControlTests", ["Control", "Migration", "Host", logging]),
        tests(
            "EndToEndTests",
            ["aerostat", "Control", "MicroVM", "MigrationIO", "Migration", "GuestMemory", "Host"],
            // Built by the tests that use them.
            exclude: ["Support/Preload"]
        ),
    ]
)

if isProving {
    package.products = []
    let others: Set<String> = ["aerostat", "Control", "ControlTests", "EndToEndTests", "CTinyGuest", "MicroVM", "MicroVMTests"]
    package.targets.removeAll { others.contains($0.name) }
}

if isFuzzing {
    // Of `Control` what reads foreign words: NIO takes minutes to build, and moves bytes only.
    let parts: Set<String> = [
        "Host", "CLinux", "CLiburing", "GuestMemory", "IOUring", "Migration", "Virtio", "Balloon", "Entropy", "MigrationIO",
        "ModelGuest",
    ]
    let server = ["Server", "Client", "ControlLoop.swift", "ControlError.swift", "Values/Values+Paths.swift"]
    package.products = []
    package.targets =
        package.targets.filter { parts.contains($0.name) } + [
            .target(name: "Control", dependencies: ["Migration", "Host"], exclude: server, swiftSettings: swiftSettings),
            .systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzz/CLibFuzzer"),
            .executableTarget(
                name: "fuzz",
                dependencies: [
                    "CLibFuzzer", "Control", "MigrationIO", "ModelGuest", "Migration", "Balloon", "Entropy", "Virtio", "GuestMemory",
                    "Host", system,
                ],
                path: "Tests/Fuzz",
                exclude: ["CLibFuzzer", "Corpus", "Dictionaries"],
                swiftSettings: swiftSettings,
                linkerSettings: [.unsafeFlags(fuzzer + ["-use-ld=lld", "-Xlinker", "-z", "-Xlinker", "muldefs"])]
            ),
        ]
}
