// Command ottla is a Kafka-like broker over plain HTTP, and its tools.
package main

import (
	"os"

	"ottla/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
