// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "monitor",
    dependencies: [
        // Elsewhere: .package(url: ..., from: "0.3.0")
        .package(name: "aerostat", path: "../..")
    ],
    targets: [
        .executableTarget(
            name: "monitor",
            dependencies: [.product(name: "AerostatEngine", package: "aerostat")],
            swiftSettings: [
                .swiftLanguageMode(.v6), .strictMemorySafety(), .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
            ]
        )
    ]
)
