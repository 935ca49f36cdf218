// Command gen compiles every .proto file under proto/ in process and runs the pinned plugins of this module on them. It needs
// neither protoc nor the network once the module's dependencies are in the module cache:
//
//	go run -C proto/gen .
//
// The output stands beside the .proto files and is committed; CI regenerates it and expects no difference.
package main

import (
	"fmt"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Print("gen: ", err)
		os.Exit(1)
	}
}

// run is separate from main so that deferred work is done before the exit.
func run() error {
	files, err := findProtos(root)
	if err != nil {
		return err
	}
	set, err := compile(files)
	if err != nil {
		return err
	}
	for _, p := range plugins {
		out, err := p.run(set, files)
		if err != nil {
			return fmt.Errorf("%s: %w", p.tool, err)
		}
		if p.finish != nil {
			if err := p.finish(out); err != nil {
				return fmt.Errorf("%s: %w", p.tool, err)
			}
		}
		if err := write(root, out); err != nil {
			return err
		}
	}
	return nil
}
