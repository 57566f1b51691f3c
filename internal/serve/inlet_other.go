//go:build !unix

package serve

const canReadRaw = false

// readRaw is never called.
func readRaw(uintptr, []byte) (int, error) { return 0, nil }
