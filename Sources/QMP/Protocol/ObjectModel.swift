/// The objects of QMP's `qom-get`, `qom-set` and `qom-list`: they have paths and properties. Capabilities add their objects.
public struct ObjectModel: Sendable {
    /// A named value of an object.
    public struct Property: Sendable {
        let type: String
        let get: @Sendable () throws(QMPError) -> JSONValue
        let set: (@Sendable (JSONValue) throws(QMPError) -> Void)?

        /// - Parameters:
        ///   - type: the type's name in `qom-list`.
        ///   - set: `nil` if the property cannot be written.
        public init(
            type: String,
            get: @escaping @Sendable () throws(QMPError) -> JSONValue,
            set: (@Sendable (JSONValue) throws(QMPError) -> Void)? = nil
        ) {
            (self.type, self.get, self.set) = (type, get, set)
        }
    }

    /// An object with properties.
    public struct Object: Sendable {
        let type: String
        let properties: [String: Property]

        /// - Parameter type: QEMU's type name, for messages.
        public init(type: String, properties: [String: Property]) { (self.type, self.properties) = (type, properties) }
    }

    /// The path of devices that have a name.
    private static let devices = "/machine/peripheral/"
    private var objects: [String: Object] = [:]

    public init() {}

    /// Adds a device, at `/machine/peripheral/NAME`. Clients may also say NAME alone.
    public mutating func add(_ object: Object, named name: String) {
        precondition(objects.updateValue(object, forKey: name) == nil, "two devices are called \(name)")
    }

    /// `qom-get`, `qom-set` and `qom-list` for the objects added so far.
    public var commands: CommandSet {
        var set = CommandSet()
        set.answer(.getProperty) { [self] (arguments: PropertyArguments) throws(QMPError) in
            try property(arguments.property, at: arguments.path).value.get()
        }
        set.perform(.setProperty) { [self] (arguments: NewPropertyArguments) throws(QMPError) in
            let (object, property) = try property(arguments.property, at: arguments.path)
            guard let assign = property.set else {
                throw QMPError("Property '\(object.type).\(arguments.property)' is not writable")
            }
            try assign(arguments.value)
        }
        set.answer(.listProperties) { [self] (arguments: ObjectArguments) throws(QMPError) in try list(arguments.path) }
        return set
    }

    private func object(at path: String) throws(QMPError) -> Object {
        let name = path.hasPrefix(Self.devices) ? String(path.dropFirst(Self.devices.count)) : path
        guard let object = objects[name] else { throw QMPError(.deviceNotFound, "Device '\(path)' not found") }
        return object
    }

    private func property(_ name: String, at path: String) throws(QMPError) -> (object: Object, value: Property) {
        let object = try object(at: path)
        guard let property = object.properties[name] else { throw QMPError("Property '\(object.type).\(name)' not found") }
        return (object, property)
    }

    private func list(_ path: String) throws(QMPError) -> JSONValue {
        func entry(_ name: String, _ type: String) -> JSONValue { ["name": .string(name), "type": .string(type)] }
        switch path {
        case "/": return [entry("machine", "child<machine>")]
        case "/machine": return [entry("peripheral", "child<container>")]
        case "/machine/peripheral":
            let children = objects.sorted { $0.key < $1.key }.map { entry($0.key, "child<\($0.value.type)>") }
            return .array([entry("type", "string")] + children)
        default:
            let object = try object(at: path)
            return .array([entry("type", "string")] + object.properties.sorted { $0.key < $1.key }.map { entry($0.key, $0.value.type) })
        }
    }
}

extension CommandDeclaration<PropertyArguments> {
    /// The reply is the property's value.
    public static var getProperty: Self { Self("qom-get", isBrief: true) }
}

extension CommandDeclaration<NewPropertyArguments> {
    /// Sets a property's value.
    public static var setProperty: Self { Self("qom-set", isBrief: true) }
}

extension CommandDeclaration<ObjectArguments> {
    /// The reply lists the names and types of an object's properties and children.
    public static var listProperties: Self { Self("qom-list", isBrief: true) }
}

/// The arguments of `qom-list`.
public struct ObjectArguments: CommandArguments {
    /// A path from the root, or a device's name.
    public var path: String

    public init(path: String) { self.path = path }

    public init(_ reader: inout ArgumentReader) throws(QMPError) { path = try reader.take("path", as: .string) }

    public var arguments: [String: JSONValue] { ["path": .string(path)] }
}

/// The arguments of `qom-get`.
public struct PropertyArguments: CommandArguments {
    /// A path from the root, or a device's name.
    public var path: String
    public var property: String

    public init(path: String, property: String) { (self.path, self.property) = (path, property) }

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        path = try reader.take("path", as: .string)
        property = try reader.take("property", as: .string)
    }

    public var arguments: [String: JSONValue] { ["path": .string(path), "property": .string(property)] }
}

/// The arguments of `qom-set`.
public struct NewPropertyArguments: CommandArguments {
    /// A path from the root, or a device's name.
    public var path: String
    public var property: String
    public var value: JSONValue

    public init(path: String, property: String, value: JSONValue) { (self.path, self.property, self.value) = (path, property, value) }

    public init(_ reader: inout ArgumentReader) throws(QMPError) {
        path = try reader.take("path", as: .string)
        property = try reader.take("property", as: .string)
        value = try reader.take("value", as: .any)
    }

    public var arguments: [String: JSONValue] { ["path": .string(path), "property": .string(property), "value": value] }
}
