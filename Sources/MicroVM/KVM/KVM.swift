import AerostatHost
import CLinux
import Glibc
import SystemPackage

/// A request of KVM, and its name for people.
struct KVMRequest: Sendable {
    let name: String
    let number: UInt

    init(_ name: String, _ number: UInt) {
        self.name = name
        self.number = number
    }
}

/// A capability that not every KVM has.
package struct KVMCapability: Hashable, Sendable {
    /// Its name in KVM's documentation.
    let name: String
    let number: UInt32

    package init(_ name: String, _ number: Int32) {
        self.name = name
        self.number = UInt32(bitPattern: number)
    }

    static let manualDirtyLog = KVMCapability("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
    static let dirtyRing = KVMCapability("KVM_CAP_DIRTY_LOG_RING_ACQ_REL", KVM_CAP_DIRTY_LOG_RING_ACQ_REL)
    static let olderDirtyRing = KVMCapability("KVM_CAP_DIRTY_LOG_RING", KVM_CAP_DIRTY_LOG_RING)
    static let largeXSAVE = KVMCapability("KVM_CAP_XSAVE2", KVM_CAP_XSAVE2)
    static let tscScaling = KVMCapability("KVM_CAP_TSC_CONTROL", KVM_CAP_TSC_CONTROL)
    static let tscDeadlineTimer = KVMCapability("KVM_CAP_TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER)
    static let maximumVCPUs = KVMCapability("KVM_CAP_MAX_VCPUS", KVM_CAP_MAX_VCPUS)
    static let emulationFailureExit = KVMCapability("KVM_CAP_EXIT_ON_EMULATION_FAILURE", KVM_CAP_EXIT_ON_EMULATION_FAILURE)

    /// Without these no machine can run, or none that could be migrated.
    package static let required = [
        KVMCapability("KVM_CAP_USER_MEMORY", KVM_CAP_USER_MEMORY),
        KVMCapability("KVM_CAP_IRQCHIP", KVM_CAP_IRQCHIP),
        KVMCapability("KVM_CAP_IRQFD", KVM_CAP_IRQFD),
        KVMCapability("KVM_CAP_IOEVENTFD", KVM_CAP_IOEVENTFD),
        KVMCapability("KVM_CAP_PIT2", KVM_CAP_PIT2),
        KVMCapability("KVM_CAP_PIT_STATE2", KVM_CAP_PIT_STATE2),
        KVMCapability("KVM_CAP_SET_TSS_ADDR", KVM_CAP_SET_TSS_ADDR),
        KVMCapability("KVM_CAP_SET_IDENTITY_MAP_ADDR", KVM_CAP_SET_IDENTITY_MAP_ADDR),
        KVMCapability("KVM_CAP_IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT),
        KVMCapability("KVM_CAP_MP_STATE", KVM_CAP_MP_STATE),
        KVMCapability("KVM_CAP_VCPU_EVENTS", KVM_CAP_VCPU_EVENTS),
        KVMCapability("KVM_CAP_DEBUGREGS", KVM_CAP_DEBUGREGS),
        KVMCapability("KVM_CAP_XSAVE", KVM_CAP_XSAVE),
        KVMCapability("KVM_CAP_XCRS", KVM_CAP_XCRS),
        KVMCapability("KVM_CAP_ADJUST_CLOCK", KVM_CAP_ADJUST_CLOCK),
        KVMCapability("KVM_CAP_GET_TSC_KHZ", KVM_CAP_GET_TSC_KHZ),
    ]
}

/// A descriptor of KVM: the device, a machine or a vCPU. All requests on it go through here.
struct KVMDescriptor: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor
    /// What it is, for error messages.
    let place: String

    init(_ descriptor: consuming OwnedDescriptor, place: String) {
        self.descriptor = descriptor
        self.place = place
    }

    var number: Int32 { descriptor.number }

    /// - Parameter argument: read or written, depending on the request.
    @discardableResult
    func request(_ request: KVMRequest, _ argument: UnsafeMutableRawPointer?) throws(KVMError) -> Int {
        try perform(request) { unsafe aerostat_kvm(descriptor.number, request.number, argument) }
    }

    @discardableResult
    func request(_ request: KVMRequest, number: UInt = 0) throws(KVMError) -> Int {
        try perform(request) { aerostat_kvm_number(descriptor.number, request.number, number) }
    }

    /// Makes a request with a list that begins with the number of its entries.
    @discardableResult
    func request(_ request: KVMRequest, words: inout [UInt32]) throws(KVMError) -> Int {
        try perform(request) {
            unsafe words.withUnsafeMutableBytes { unsafe aerostat_kvm(descriptor.number, request.number, $0.baseAddress) }
        }
    }

    /// Makes a request with a structure, returned as bytes.
    func read(_ request: KVMRequest, byteCount: Int) throws(KVMError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        try exchange(request, &bytes)
        return bytes
    }

    /// Makes a request with a structure as bytes, which the kernel reads, fills, or both.
    func exchange(_ request: KVMRequest, _ bytes: inout [UInt8]) throws(KVMError) {
        try perform(request) {
            unsafe bytes.withUnsafeMutableBytes { unsafe aerostat_kvm(descriptor.number, request.number, $0.baseAddress) }
        }
    }

    /// Makes a request with a structure that the kernel reads.
    func set<Value: BitwiseCopyable>(_ request: KVMRequest, _ value: Value) throws(KVMError) {
        var value = value
        try perform(request) { unsafe aerostat_kvm(descriptor.number, request.number, &value) }
    }

    /// Makes a request with a structure that the kernel fills, and may read before.
    func get<Value: BitwiseCopyable>(_ request: KVMRequest, _ value: Value) throws(KVMError) -> Value {
        var value = value
        try perform(request) { unsafe aerostat_kvm(descriptor.number, request.number, &value) }
        return value
    }

    /// The value of a capability of the device or of a machine, which may support less than the device. 0 if the capability is absent.
    func value(of capability: KVMCapability) throws(KVMError) -> Int {
        try request(KVMRequest("KVM_CHECK_EXTENSION", aerostat_kvm_check_extension), number: UInt(capability.number))
    }

    @discardableResult
    private func perform(_ request: KVMRequest, _ body: () -> Int32) throws(KVMError) -> Int {
        do throws(SystemError) {
            return Int(try retryingInterrupts("", body))
        } catch {
            throw .request(request.name, place: place, error.code)
        }
    }
}

/// `/dev/kvm`.
package struct KVM: ~Copyable {
    package static let path = "/dev/kvm"
    /// The version of the interface (KVM_GET_API_VERSION).
    private static let version = 12
    /// How many vCPUs a machine may have here.
    package static let maximumVCPUs = 64

    let path: String
    private let device: KVMDescriptor

    /// Opens the device, and checks that it can run machines.
    package init(path: String = KVM.path, requiring capabilities: [KVMCapability] = KVMCapability.required) throws(KVMError) {
        self.path = path
        device = try Self.open(path, capabilities)
    }

    private static func open(_ path: String, _ capabilities: [KVMCapability]) throws(KVMError) -> KVMDescriptor {
        let file: OwnedDescriptor
        do throws(SystemError) { file = try .open(path, flags: O_RDWR) } catch { throw .opening(path, error.code) }
        let device = KVMDescriptor(file, place: path)
        let version: Int
        do throws(KVMError) {
            version = try device.request(KVMRequest("KVM_GET_API_VERSION", aerostat_kvm_get_api_version))
        } catch {
            if case .request(_, _, let code) = error { throw .unusable(path: path, code) }
            throw error
        }
        guard version == Self.version else { throw .version(version, path: path) }
        for capability in capabilities where try device.value(of: capability) == 0 { throw .capability(capability.name, path: path) }
        return device
    }

    /// The value of a capability; 0 if it is absent.
    func value(of capability: KVMCapability) throws(KVMError) -> Int {
        try device.value(of: capability)
    }

    func createMachine() throws(KVMError) -> KVMDescriptor {
        let number = try device.request(KVMRequest("KVM_CREATE_VM", aerostat_kvm_create_vm))
        return KVMDescriptor(OwnedDescriptor(adopting: Int32(number)), place: "the machine")
    }

    /// The size of a vCPU's mapping in bytes.
    func vcpuMappingBytes() throws(KVMError) -> Int {
        try device.request(KVMRequest("KVM_GET_VCPU_MMAP_SIZE", aerostat_kvm_get_vcpu_mmap_size))
    }

    /// How many entries the kernel has room for (KVM_MAX_CPUID_ENTRIES).
    static let maximumCPUIDEntries = 256

    /// What this KVM on this processor could show to a guest.
    func supportedCPUID() throws(KVMError) -> [CPUIDEntry] {
        try CPUIDTable.read(KVMRequest("KVM_GET_SUPPORTED_CPUID", aerostat_kvm_get_supported_cpuid), from: device)
    }

    /// The model-specific registers that hold a guest's state: those that KVM names, except those of features that `CPUIDPolicy` hides, and
    /// the memory types, which KVM keeps but does not name.
    func savedMSRs() throws(KVMError) -> [UInt32] {
        let request = KVMRequest("KVM_GET_MSR_INDEX_LIST", aerostat_kvm_get_msr_index_list)
        // A count, and as many indices. If there is too little room, the kernel returns E2BIG and the right count.
        var words = [UInt32](repeating: 0, count: 1 + 1024)
        words[0] = 1024
        try device.request(request, words: &words)
        let named = words[1..<1 + min(Int(words[0]), 1024)]
        return named.filter { index in !MSR.hidden.contains { $0.contains(index) } } + MSR.memoryTypes.filter { !named.contains($0) }
    }
}
