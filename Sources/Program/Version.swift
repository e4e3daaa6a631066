/// The version of these programs.
public var releaseVersion: String { "0.1.0" }
