// Package disk is the file system as the vault sees it: files that are flushed,
// reserved and cut, folders whose names are made durable. Tests put one in its
// place that fails.
//
// It does not know what is written. Start reading at [Files].
package disk
