// Package version says which version of the house a program is. It stands alone, so that the smallest program can tell.
package version

import "runtime/debug"

// version is set by the linker for released programs.
var version string

// String is the program's version: the one it was built as, else the revision it was built from, else "dev".
func String() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
