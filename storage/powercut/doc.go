// Package powercut cuts the power under a store, in tests alone.
//
// A file served by FUSE records, in order, every write and every flush that a
// loop device, and so a real file system, sends to it. In another process a
// store on that file system is loaded and says what it was told is done. Then
// the recording is cut at random places, and a disk made of each cut as a disk
// may be after a power failure: all that was flushed, and of the rest nothing,
// or any of its blocks, or any of its sectors. The file system is mounted, the
// store opened, and every acknowledged message must be there exactly once, with
// its octets, its flags and its demand, and no unacknowledged change by half.
// What one cut left is loaded and cut again, repair and all.
//
// The control leaves the flushes out and must lose mail: a rig that finds
// nothing there would find nothing anywhere.
//
// It needs Linux, root, /dev/fuse, loop devices, mkfs.ext4 and mkfs.xfs, and
// skips what it cannot do, saying why. LETTERLOCK_POWER_CUTS is the number of
// cuts on each file system for a long run.
//
// What is cut is what a disk with a volatile cache may do under the block
// layer's rules. A disk that lies about flushes loses mail under every store.
package powercut
