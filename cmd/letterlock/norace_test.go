//go:build !race

package main

// raced: memory is as the server's own.
const raced = false
