// Package config reads the one config file, knows every default, and says what
// is wrong with it so that it can be mended: the line, the key, the fact and
// the way out.
//
// It promises that nothing in the file is ignored: a key it does not know is an
// error that names the nearest one it knows. With no file at all everything has a
// default, on loopback, with the data in ./data. It does not know the rooms:
// each gets its own small options from whoever builds them.
//
// reference.toml is the whole contract: every key with its default and what it
// means. Start reading at [Config] and [Load].
package config
