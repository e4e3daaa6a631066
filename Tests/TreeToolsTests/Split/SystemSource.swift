import DeviceTree
import Foundation
import TestSupport
import Testing

@testable import TreeTools

/// A board with a bit of everything, divided among two guests. Each test changes a word of it.
let systemSource = """
  /dts-v1/;
  / {
    #address-cells = <1>; #size-cells = <1>; interrupt-parent = <&gic>;
    model = "a board"; compatible = "test,board";
    chosen { bootargs = "quiet"; stdout-path = &uart0; };
    aliases { serial0 = &uart0; serial1 = &uart1; i2c0 = &i2c; };
    cpus: cpus {
      #address-cells = <1>; #size-cells = <0>;
      cpu-map { cluster0 { core0 { cpu = <&cpu0>; }; core1 { cpu = <&cpu1>; }; }; cluster1 { core0 { cpu = <&cpu2>; }; }; };
      cpu0: cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a7"; reg = <0>; };
      cpu1: cpu@1 { device_type = "cpu"; compatible = "arm,cortex-a7"; reg = <1>; };
      cpu2: cpu@2 { device_type = "cpu"; compatible = "arm,cortex-a7"; reg = <2>; };
    };
    memory@80000000 { device_type = "memory"; reg = <0x80000000 0x20000000>; };
    reserved-memory {
      #address-cells = <1>; #size-cells = <1>; ranges;
      shared: guestbroker@90000000 { compatible = "guestbroker,link-memory"; reg = <0x90000000 0x400000>; no-map; guestbroker,id = "g1g2"; };
      firmware@88000000 { reg = <0x88000000 0x1000>; no-map; };
      video: video@98000000 { reg = <0x98000000 0x1000>; no-map; };
    };
    pmu { compatible = "arm,cortex-a7-pmu"; interrupts = <0 60 4>, <0 61 4>, <0 62 4>; interrupt-affinity = <&cpu0>, <&cpu1>, <&cpu2>; };
    timer { compatible = "arm,armv7-timer"; interrupts = <1 13 4>; };
    osc: clock-osc { compatible = "fixed-clock"; #clock-cells = <0>; clock-frequency = <24000000>; };
    spare: clock-spare { compatible = "fixed-clock"; #clock-cells = <0>; clock-frequency = <1000>; };
    leds { compatible = "gpio-leds"; led-0 { gpios = <&gpio 0 0>; }; led-1 { gpios = <&gpio 1 0>; }; };
    sound { compatible = "test,sound"; test,codec = <&codec>; };
    soc@40000000 {
      compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = <0 0x40000000 0x100000>;
      gic: interrupt-controller@0 {
        compatible = "arm,cortex-a7-gic", "arm,gic-400"; interrupt-controller; #interrupt-cells = <3>; #address-cells = <0>;
        reg = <0x0 0x1000>, <0x1000 0x1000>;
      };
      uart0: serial@2000 { compatible = "arm,pl011"; reg = <0x2000 0x1000>; interrupts = <0 1 4>; clocks = <&clk 0>; clock-names = "uart"; };
      uart1: serial@3000 {
        compatible = "arm,pl011"; reg = <0x3000 0x1000>; interrupts = <0 2 4>; clocks = <&osc>; dmas = <&dma 1>; dma-names = "tx";
      };
      uart2: serial@4000 {
        compatible = "arm,pl011"; reg = <0x4000 0x1000>; interrupts = <0 3 4>; clocks = <&clk 1>; clock-names = "uart"; test,friend = <&gpio>;
      };
      nobody@5000 { compatible = "test,nobody"; reg = <0x5000 0x1000>; };
      gpio: gpio@6000 { compatible = "test,gpio"; reg = <0x6000 0x1000>; gpio-controller; #gpio-cells = <2>; };
      dma: dma-controller@7000 { compatible = "test,dma"; reg = <0x7000 0x1000>; #dma-cells = <1>; };
      clk: clock-controller@8000 { compatible = "test,clock"; reg = <0x8000 0x1000>; #clock-cells = <1>; clocks = <&osc>; };
      i2c: i2c@9000 {
        compatible = "test,i2c"; reg = <0x9000 0x1000>; interrupts = <0 9 4>; #address-cells = <1>; #size-cells = <0>;
        codec: codec@1a { compatible = "test,codec"; reg = <0x1a>; };
        sensor@48 { compatible = "test,sensor"; reg = <0x48>; };
      };
      screen: screen@a000 { compatible = "test,screen"; reg = <0xa000 0x1000>; memory-region = <&video>; };
    };
    domains {
      one: guest1 {
        compatible = "openamp,domain-v1"; id = <1>; cpus = <&cpus 0x3 0x1>; memory = <0x80000000 0x10000000>;
        access = <&uart0 &uart2 &i2c &clk>;
      };
      two: guest2 {
        compatible = "openamp,domain-v1"; id = <2>; cpus = <&cpus 0x4 0x1>; memory = <0x91000000 0x1000000>, <0x94000000 0x2000000>;
        #access-flags-cells = <1>;
        access = <&uart1 7 &screen 0>;
        chosen-properties { stdout-path = "serial1:115200n8"; };
      };
      links {
        g1g2 {
          compatible = "guestbroker,system-link-v1"; owner = <&one>; borrower = <&two>; memory-region = <&shared>; channels = <2>;
          at-owner { poll-interval-us = <100>; };
          exports { uart2 { class = "uart"; device = <&uart2>; access = "rw"; import-name = "console"; }; };
        };
      };
    };
  };
  """

func system(_ changes: [(String, String)] = []) throws -> SystemTree {
  var source = systemSource
  for (old, new) in changes {
    try #require(source.contains(old), "\(old)")
    source = source.replacingOccurrences(of: old, with: new)
  }
  return try SystemTree(try DeviceTree(blob: Array(try compile(source).blob)))
}
