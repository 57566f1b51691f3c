//go:build race

package main

// raced: the race detector keeps memory of its own beside ours.
const raced = true
