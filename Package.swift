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

/// A module that others import. Its name carries the prefix `Aerostat`; its folder does not.
func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: "Aerostat" + name, dependencies: dependencies, path: "Sources/" + name, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], exclude: exclude, swiftSettings: swiftSettings)
}

let package = Package(
    name: "aerostat",
    products: [
        .executable(name: "aerostat", targets: ["aerostat"]),
        // The engine with memory and links, for a monitor that has machines and a control plane of its own: no NIO, no KVM.
        .library(
            name: "AerostatEngine",
            targets: ["AerostatHost", "AerostatGuestMemory", "AerostatIOUring", "AerostatMigration", "AerostatMigrationIO"]
        ),
        .executable(name: "aerostat-stress", targets: ["stress"]),
        .library(
            name: "Aerostat",
            targets: [
                "AerostatHost", "AerostatGuestMemory", "AerostatIOUring", "AerostatMigration", "AerostatVirtio", "AerostatBalloon",
                "AerostatEntropy", "AerostatMigrationIO", "AerostatModelGuest", "AerostatMicroVM",
                "AerostatQMP", "AerostatMachineHost", "AerostatBalloonControl", "AerostatControl",
            ]
        ),
    ],
    traits: [
        .trait(
            name: "BrokenEngines",
            description: "Compiles deliberately broken variants in, for tools/simulate and tools/stress-broken. Never part of what is used."
        ),
        .trait(
            name: "Instruments",
            description: "Measures how long the ledger's lock is held, for tools/bench. It costs two system calls for each hold."
        ),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    ],
    targets: [
        // C: header-only shims, the tiny guest's machine code, and the system's liburing and xxHash.
        .target(name: "CLinux"),
        .target(name: "CTinyGuest"),
        .systemLibrary(name: "CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),

        // An arrow of imports only ever points up this list (ARCHITECTURE.md).
        module("Host", ["CLinux", system]),
        module("GuestMemory", ["AerostatHost", "CLinux", "CXXHash", system]),
        module("IOUring", ["AerostatHost", "CLiburing", system]),
        module("Migration", ["AerostatGuestMemory", "AerostatHost"]),
        module("Virtio", ["AerostatMigration", "AerostatGuestMemory", "AerostatHost"]),
        module("Balloon", ["AerostatVirtio", "AerostatGuestMemory", "AerostatMigration", "AerostatHost"]),
        module("Entropy", ["AerostatVirtio", "AerostatGuestMemory", "AerostatMigration", "AerostatHost", "CLinux", system]),
        module(
            "MigrationIO",
            ["AerostatMigration", "AerostatGuestMemory", "AerostatIOUring", "AerostatHost", "CLiburing", system, logging]
        ),
        module(
            "ModelGuest",
            ["AerostatVirtio", "AerostatBalloon", "AerostatEntropy", "AerostatMigration", "AerostatGuestMemory", "AerostatHost"]
        ),
        module(
            "MicroVM",
            [
                "CTinyGuest", "AerostatVirtio", "AerostatBalloon", "AerostatEntropy", "AerostatMigration", "AerostatGuestMemory",
                "AerostatHost", "CLinux", system,
            ]
        ),
        module("QMP", ["AerostatMigration", "AerostatHost"]),
        module(
            "MachineHost",
            ["AerostatQMP", "AerostatMigrationIO", "AerostatMigration", "AerostatGuestMemory", "AerostatHost", logging]
        ),
        module(
            "BalloonControl",
            ["AerostatMachineHost", "AerostatQMP", "AerostatBalloon", "AerostatMigration", "AerostatGuestMemory", "AerostatHost"]
        ),
        module(
            "Control",
            [
                "AerostatQMP", "AerostatMigration", "AerostatHost", system, logging,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        // What both programs need at their beginning and their end.
        .target(
            name: "CommandSupport",
            dependencies: [
                "AerostatMigration", "AerostatHost", system, logging, .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "stress",
            dependencies: [
                "CommandSupport", "AerostatHost", "AerostatGuestMemory", "AerostatMigration", "AerostatModelGuest", "AerostatMicroVM",
                "AerostatQMP", "AerostatControl", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "aerostat",
            dependencies: [
                "CommandSupport", "AerostatHost", "AerostatGuestMemory", "AerostatMigration", "AerostatMigrationIO", "AerostatVirtio",
                "AerostatBalloon",
                "AerostatModelGuest", "AerostatMicroVM", "AerostatQMP", "AerostatMachineHost", "AerostatBalloonControl", "AerostatControl",
                system, logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .target(name: "Sabotage", condition: .when(traits: ["BrokenEngines"])),
            ],
            swiftSettings: swiftSettings
        ),
        // Broken engines: decorators around the engine's parts. Nothing but an empty module without the trait.
        .target(
            name: "Sabotage",
            dependencies: ["AerostatMigrationIO", "AerostatMigration", "AerostatGuestMemory", "AerostatHost"],
            path: "Proof/Sabotage",
            swiftSettings: swiftSettings
        ),

        // Tests mirror the modules.
        .target(
            name: "TestSupport",
            dependencies: [
                "AerostatGuestMemory", "AerostatMigration", "AerostatMigrationIO", "AerostatVirtio", "AerostatBalloon", "AerostatHost",
                "CLinux", system,
            ],
            path: "Tests/TestSupport",
            swiftSettings: swiftSettings
        ),
        // The deterministic simulator: stackful coroutines, the simulated world, and the program behind tools/simulate.
        .target(name: "CCoroutine", path: "Proof/CCoroutine"),
        .target(
            name: "SimulationSupport",
            dependencies: [
                "CCoroutine", "TestSupport", "AerostatGuestMemory", "AerostatMigration", "AerostatMigrationIO", "AerostatVirtio",
                "AerostatBalloon", "AerostatHost",
            ],
            path: "Proof/Simulation",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "simulate",
            dependencies: [
                "SimulationSupport", "Sabotage", "AerostatHost", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Proof/simulate",
            swiftSettings: swiftSettings
        ),
        tests("SimulationTests", ["SimulationSupport", "AerostatHost"]),
        tests("HostTests", ["AerostatHost", "CLinux", system]),
        tests("GuestMemoryTests", ["AerostatGuestMemory", "AerostatHost", "CLinux", system]),
        tests("IOUringTests", ["AerostatIOUring", "AerostatHost", system]),
        tests("MigrationTests", ["AerostatMigration", "AerostatGuestMemory", "AerostatHost"]),
        tests("VirtioTests", ["AerostatVirtio", "AerostatMigration", "AerostatGuestMemory", "AerostatHost"]),
        tests("BalloonTests", ["AerostatBalloon", "AerostatVirtio", "AerostatGuestMemory", "AerostatMigration", "AerostatHost"]),
        tests("EntropyTests", ["AerostatEntropy", "AerostatVirtio", "AerostatGuestMemory", "AerostatMigration", "AerostatHost"]),
        tests(
            "DeviceContractTests",
            ["AerostatEntropy", "AerostatBalloon", "AerostatVirtio", "AerostatGuestMemory", "AerostatMigration", "AerostatHost"]
        ),
        tests("MigrationIOTests", ["AerostatMigrationIO", "AerostatMigration", "AerostatGuestMemory", "AerostatHost", logging]),
        tests(
            "ModelGuestTests",
            [
                "AerostatModelGuest", "AerostatMigrationIO", "AerostatVirtio", "AerostatEntropy", "AerostatBalloon", "AerostatMigration",
                "AerostatGuestMemory", "AerostatHost",
            ]
        ),
        tests(
            "MicroVMTests",
            [
                "AerostatMicroVM", "AerostatMigrationIO", "AerostatEntropy", "AerostatBalloon", "AerostatVirtio", "AerostatMigration",
                "AerostatGuestMemory", "AerostatHost", "CLinux", system,
            ]
        ),
        tests("QMPTests", ["AerostatQMP", "AerostatMigration", "AerostatHost"]),
        tests(
            "BalloonControlTests",
            [
                "AerostatBalloonControl", "AerostatMachineHost", "AerostatQMP", "AerostatModelGuest", "AerostatBalloon",
                "AerostatMigration",
                "AerostatGuestMemory", "AerostatHost", logging,
            ]
        ),
        tests(
            "MachineHostTests",
            [
                "AerostatMachineHost", "AerostatQMP", "AerostatMigrationIO", "AerostatMigration", "AerostatGuestMemory", "AerostatHost",
                logging,
            ]
        ),
        tests("ControlTests", ["AerostatControl", "AerostatQMP", "AerostatMigration", "AerostatHost", logging]),
        tests(
            "EndToEndTests",
            [
                "aerostat", "stress", "AerostatControl", "AerostatQMP", "AerostatMicroVM", "AerostatMigrationIO", "AerostatMigration",
                "AerostatGuestMemory",
                "AerostatHost",
            ],
            // Built by the tests that use them.
            exclude: ["Support/Preload"]
        ),
    ]
)

if isProving {
    package.products = []
    let others: Set<String> = [
        "aerostat", "stress", "CommandSupport", "AerostatControl", "ControlTests", "EndToEndTests", "CTinyGuest", "AerostatMicroVM",
        "MicroVMTests",
    ]
    package.targets.removeAll { others.contains($0.name) }
}

if isFuzzing {
    // Without `Control`: NIO takes minutes to build, and moves bytes only.
    let parts: Set<String> = [
        "AerostatHost", "CLinux", "CLiburing", "CXXHash", "AerostatGuestMemory", "AerostatIOUring", "AerostatMigration", "AerostatVirtio",
        "AerostatBalloon", "AerostatEntropy", "AerostatMigrationIO",
        "AerostatModelGuest", "AerostatQMP",
    ]
    package.products = []
    package.targets =
        package.targets.filter { parts.contains($0.name) } + [
            .systemLibrary(name: "CLibFuzzer", path: "Proof/Fuzz/CLibFuzzer"),
            .executableTarget(
                name: "fuzz",
                dependencies: [
                    "CLibFuzzer", "AerostatQMP", "AerostatMigrationIO", "AerostatModelGuest", "AerostatMigration", "AerostatBalloon",
                    "AerostatEntropy", "AerostatVirtio", "AerostatGuestMemory",
                    "AerostatHost", system,
                ],
                path: "Proof/Fuzz",
                exclude: ["CLibFuzzer", "Corpus", "Dictionaries"],
                swiftSettings: swiftSettings,
                linkerSettings: [.unsafeFlags(fuzzer + ["-use-ld=lld", "-Xlinker", "-z", "-Xlinker", "muldefs"])]
            ),
        ]
}
