// Package server is Sambang's server: it takes in what devices wrote offline,
// merges it by causality, keeps every write, and serves headquarters.
//
//	s, err := server.New(server.Config{Data: "/var/lib/sambang", URL: "https://sync.example.go.id"})
//	...
//	defer s.Close()
//	err = s.Run(ctx) // until ctx is done
//
// What is always true of it:
//
//   - Its data is in one folder: the store, and the server's identity
//     (server.key). With both from a backup it is the same server again.
//   - Nothing is acknowledged before it is durable.
//   - Whatever a command or a program does through [Server] may be done while
//     another process serves the same folder; it takes effect at each device's
//     next request.
//   - It reads neither flags nor environment.
package server
