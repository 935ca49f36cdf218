// Package rpc is the gRPC edge: the services of proto/api/v1 over a Backend. It is thin. It checks what can be checked from the
// message alone, translates, and bounds everything: the size of a message, the streams of a connection, the requests in flight
// on a stream, the rows and the time of a query.
package rpc
