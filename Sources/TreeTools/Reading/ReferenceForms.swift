import DeviceTree

/// How a property refers to nodes.
enum ReferenceForm: Sendable {
  /// Phandles and nothing else.
  case list
  /// A phandle, then numbers that the property's own binding explains.
  case first
  /// Phandles with so many numbers behind each.
  case fixed(Int)
  /// Phandles with as many numbers behind each as the target's property of that name says; `optional`: none without it.
  case counted(String, optional: Bool)
  /// iommu-map and msi-map: a number, a phandle, two numbers.
  case idMap
  case interruptMap
  /// gpio-map: as many cells as the node's own property says, a phandle, as many as the target's property says.
  case specifierMap(String)

  /// The property of a target that counts the cells for it.
  var cellsName: String {
    switch self {
    case .counted(let name, _), .specifierMap(let name): name
    case .list, .first, .fixed, .idMap, .interruptMap: "#interrupt-cells"
    }
  }
}

/// The properties that refer to nodes, by name.
enum ReferenceForms {
  static let byName: [String: ReferenceForm] = {
    var forms: [String: ReferenceForm] = [:]
    for (names, form) in lists {
      for name in names.split(separator: " ") where forms[String(name)] == nil { forms[String(name)] = form }
    }
    return forms
  }()

  /// Nil for a property that refers to nothing.
  static func form(of name: String, in node: Node) -> ReferenceForm? {
    if let form = byName[name] { return form }
    if name.hasSuffix("gpios") || name.hasSuffix("gpio") { return isGPIO(name, node) ? gpio : nil }
    if ["-supply", "-phandle", "-handle"].contains(where: { name.hasSuffix($0) }) { return .list }
    if name.hasSuffix("-syscon") || name.hasPrefix("st,syscfg-") { return .first }
    if name.hasPrefix("pinctrl-"), name.count > 8, name.dropFirst(8).allSatisfy({ ("0"..."9").contains($0) }) { return .list }
    switch name {
    case "device", "link": return node.isInGuestNode ? .list : nil
    // A domain of a system device tree has a mask behind it.
    case "cpus": return node.isCompatible(with: "openamp,domain-v1") ? .first : .list
    default: return nil
    }
  }

  private static var gpio: ReferenceForm { .counted("#gpio-cells", optional: false) }

  /// "gpios", "gpio", "reset-gpios": but not numbers of lines, and not a hog's, which are lines of the controller that it is in.
  private static func isGPIO(_ name: String, _ node: Node) -> Bool {
    let stem = name.dropLast(name.hasSuffix("s") ? 5 : 4)
    if stem.isEmpty { return node.property("gpio-hog") == nil }
    return stem.hasSuffix("-") && !stem.hasSuffix("nr-") && !stem.hasSuffix("num-") && name != "extclock-gpio"
  }

  /// Names, with spaces between them, of the same form.
  private static var lists: [(String, ReferenceForm)] {
    func counted(_ name: String, optional: Bool = false) -> ReferenceForm { .counted(name, optional: optional) }
    return [
      // What Linux and dtc know by name.
      ("clocks assigned-clocks assigned-clock-parents", counted("#clock-cells")),
      ("resets", counted("#reset-cells")),
      ("power-domains", counted("#power-domain-cells")),
      ("performance-domains", counted("#performance-domain-cells")),
      ("dmas", counted("#dma-cells")),
      ("pwms", counted("#pwm-cells")),
      ("mboxes", counted("#mbox-cells")),
      ("iommus", counted("#iommu-cells")),
      ("io-channels", counted("#io-channel-cells")),
      ("io-backends", counted("#io-backend-cells")),
      ("phys", counted("#phy-cells")),
      ("interconnects", counted("#interconnect-cells")),
      ("hwlocks", counted("#hwlock-cells")),
      ("thermal-sensors", counted("#thermal-sensor-cells")),
      ("cooling-device", counted("#cooling-cells")),
      ("sound-dai", counted("#sound-dai-cells")),
      ("mux-controls", counted("#mux-control-cells", optional: true)),
      ("mux-states", counted("#mux-state-cells")),
      ("access-controllers", counted("#access-controller-cells")),
      ("trigger-sources", counted("#trigger-source-cells")),
      ("pses", counted("#pse-cells")),
      ("nvmem-cells", counted("#nvmem-cell-cells", optional: true)),
      ("msi-parent", counted("#msi-cells", optional: true)),
      ("interrupts-extended", counted("#interrupt-cells")),
      ("gpio-mosi gpio-miso gpio-sck gpio-reset", gpio),
      ("gpio-ranges", .fixed(3)),
      ("interrupt-map", .interruptMap),
      ("iommu-map msi-map", .idMap),
      ("gpio-map", .specifierMap("#gpio-cells")),
      ("pwm-map", .specifierMap("#pwm-cells")),
      (
        """
        interrupt-parent wakeup-parent remote-endpoint memory-region next-level-cache l2-cache cpu affinity trip \
        interrupt-affinity cpu-idle-states domain-idle-states operating-points-v2 required-opps nvmem leds backlight panel \
        extcon mmc-pwrseq phy phy-handle usb-phy ethernet power-supplies monitored-battery regulator-coupled-with sfp \
        post-init-providers i2c-parent i2c-bus ddc-i2c-bus ddc mdio-parent-bus companion peer-hub dma-masters sram iram shmem \
        native-mode dais frame-master bitclock-master audio-codec audio-cpu simple-audio-card,frame-master \
        simple-audio-card,bitclock-master simple-audio-card,aux-devs aux-devs vmmc vbus-regulator devfreq devfreq-events pm_qos \
        regmap gpr cci-control-port spdif-controller ssi-controller slim-ifc-dev buffer-manager internal-mem ctrl-module \
        snps,axi-config snps,mtl-rx-config snps,mtl-tx-config arm,cs-dev-assoc arm,vexpress,config-bridge lens-focus \
        cpu-dai contiguous-area controller dfx firmware flash i2c regmap-csw regmap-efuse regmap-mcba regmap-mcbb regmap-rb
        """, .list
      ),
      // Those of one maker each.
      (
        """
        allwinner,codec-analog-controls allwinner,pipelines altr,ecc-parent amlogic,hhi-sysctrl amlogic,secbus2 \
        aspeed,cvic aspeed,external-nodes aspeed,sram fsl,anatop fsl,imx7d-pcie-phy fsl,iram fsl,panel fsl,pres fsl,prg \
        fsl,tempmon fsl,usbphy fsl,weim-cs-gpr marvell,crypto-srams nokia,audio-codec nokia,cpu-dai \
        nokia,headphone-amplifier nvidia,audio-codec nvidia,ddc-i2c-bus nvidia,dpaux nvidia,external-memory-controller \
        nvidia,i2s-controller nvidia,memory-controller nvidia,panel nvidia,phy nvidia,xusb-padctl qcom,acc qcom,bcm-voters \
        qcom,gmu qcom,mmio qcom,qmp qcom,rpm-msg-ram qcom,rproc qcom,rx-device qcom,saw qcom,tx-device \
        rockchip,audio-codec rockchip,grf rockchip,hdmi-codec rockchip,headset-codec rockchip,i2s-controller rockchip,pmu \
        rockchip,usbgrf samsung,audio-codec samsung,audio-cpu samsung,i2s-controller samsung,power-domain samsung,sysreg \
        ti,audio-codec ti,ctrl_mod ti,elm-id ti,mcasp-controller ti,mcbsp ti,mcpdm ti,provided-clocks ti,rproc ti,timers \
        ti,twl6040 ti,watchdog-timers pm-sram asram audio-asrc
        """, .list
      ),
      ("allwinner,sram ti,tptcs calxeda,port-phys", .fixed(1)),
      ("qcom,smem-states", counted("#qcom,smem-state-cells")),
      ("pinctrl-single,gpio-range", counted("#pinctrl-single,gpio-range-cells")),
      (
        """
        syscon fsl,stop-mode fsl,usbmisc nvidia,pmc qcom,dload-mode qcom,freq-domain qcom,halt-regs qcom,ipc qcom,ipc-1 \
        qcom,ipc-2 qcom,ipc-3 qcom,spare-regs qcom,saw-reg st,syscfg st,syscon st,sync syscon-chipselects syscon-pcs \
        syscon-phy-power syscon-pll-ctrl syscon-pllreset syscon-pol syscon-raminit ti,bootreg ti,camerrx-control \
        ti,syscon-lane-sel ti,syscon-mmuconfig ti,syscon-unaligned-access
        """, .first
      ),
    ]
  }
}

extension Node {
  /// Whether it is below this project's own node.
  fileprivate var isInGuestNode: Bool {
    var node: Node? = self
    while let current = node {
      if current.isCompatible(with: "guestbroker,guest-v1") { return true }
      node = current.parent
    }
    return false
  }
}
