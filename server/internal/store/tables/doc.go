// Package tables says what a row of the store is, for every engine: the tables
// with their columns, the values that a row is kept as, and the sum that ends
// it.
//
// What is always true of it:
//
//   - A row is the same list of values, with the same sum, on every engine, so
//     it can be moved from one to another as it is.
//   - A value is an int64, a string, a []byte or nil. Truth is 0 or 1, an
//     unsigned number of 64 bits is eight bytes, big endian, so that it sorts
//     as it should.
//   - The order of a table's columns is the order of its hash: to change it is
//     to change the format of every store there is.
//   - There is no SQL here: how rows are written and found is each engine's.
package tables
