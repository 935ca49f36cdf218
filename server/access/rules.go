package access

import (
	"reflect"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Kind is what a rule asks for.
type Kind uint8

// Kinds of rules. The zero Kind is of what has no rule, and lets nobody through.
const (
	Unruled   Kind = iota
	Free           // nothing, not even who calls
	Known          // a role that may log in
	System         // Privilege on the system
	Table          // Privilege on the table that is meant
	Statement      // what the rules of the SQL statements ask for
	Superuser      // a role that may do everything
	Calls          // of a route: what the rules of the RPCs behind it ask for
)

// Rule is what one RPC, statement or route asks for.
type Rule struct {
	Kind      Kind
	Privilege schema.Privilege
	// Of finds the table that a message of an RPC means, for the Kind Table; nil if the message names none, or one that there is not,
	// of which the answer will say so.
	Of func(Directory, proto.Message) *schema.Table
	// Answer says that the answer names the table, and not the request.
	Answer bool
}

// Check says why the caller may not, or nil. m is the message of an RPC, and nil elsewhere; statements find their tables later.
func (r Rule) Check(c *Caller, m proto.Message) error {
	switch r.Kind {
	case Free:
		return nil
	case Known, Statement:
		_, err := c.role()
		return err
	case System:
		return c.System(r.Privilege)
	case Table:
		if r.Of == nil || m == nil {
			_, err := c.role()
			return err
		}
		if t := r.Of(c.control.view(), m); t != nil {
			return c.Table(t, r.Privilege)
		}
		_, err := c.role()
		return err
	case Superuser:
		if _, err := c.role(); err != nil {
			return err
		}
		if !c.Superuser() {
			return errcode.New(errcode.PermissionDenied, "permission denied").WithHint("a role with SUPERUSER can do it")
		}
		return nil
	}
	return errcode.New(errcode.PermissionDenied, "nobody may do this: it has no rule")
}

// RPC has a rule for every method of the gRPC server. The routes of the JSON API are calls of these methods.
var RPC = map[string]Rule{
	apiv1.Write_Write_FullMethodName:       {Kind: Table, Privilege: schema.Insert, Of: named},
	apiv1.Write_WriteStream_FullMethodName: {Kind: Table, Privilege: schema.Insert, Of: named},
	apiv1.Write_Increment_FullMethodName:   {Kind: Table, Privilege: schema.Insert, Of: named},

	// A session is of who opens it, which the services test themselves.
	apiv1.Sessions_Open_FullMethodName:      {Kind: Known},
	apiv1.Sessions_KeepAlive_FullMethodName: {Kind: Known},
	apiv1.Sessions_Close_FullMethodName:     {Kind: Known},

	apiv1.Query_Query_FullMethodName:   {Kind: Statement},
	apiv1.Query_Execute_FullMethodName: {Kind: Statement},
	apiv1.Query_CopyIn_FullMethodName:  {Kind: Statement},
	apiv1.Query_CopyOut_FullMethodName: {Kind: Statement},

	// Definitions of tables are for everybody who may log in, as PostgreSQL's catalogs are.
	apiv1.Catalog_ListTables_FullMethodName:    {Kind: Known},
	apiv1.Catalog_GetTable_FullMethodName:      {Kind: Known},
	apiv1.Catalog_CreateTable_FullMethodName:   {Kind: System, Privilege: schema.Create},
	apiv1.Catalog_AlterTable_FullMethodName:    {Kind: Table, Privilege: schema.Alter, Of: named},
	apiv1.Catalog_DropTable_FullMethodName:     {Kind: Table, Privilege: schema.Drop, Of: named},
	apiv1.Catalog_TruncateTable_FullMethodName: {Kind: Table, Privilege: schema.Truncate, Of: named},

	apiv1.Contexts_Get_FullMethodName:     {Kind: System, Privilege: schema.ReadContexts},
	apiv1.Contexts_List_FullMethodName:    {Kind: System, Privilege: schema.ReadContexts},
	apiv1.Contexts_History_FullMethodName: {Kind: System, Privilege: schema.ReadContexts},
	apiv1.Contexts_Watch_FullMethodName:   {Kind: System, Privilege: schema.ReadContexts},
	apiv1.Contexts_Set_FullMethodName:     {Kind: System, Privilege: schema.WriteContexts},
	apiv1.Contexts_Delete_FullMethodName:  {Kind: System, Privilege: schema.WriteContexts},
	apiv1.Contexts_Revert_FullMethodName:  {Kind: System, Privilege: schema.WriteContexts},

	// Leases are records that steer work, as contexts are. A holder's name begins with its principal.
	apiv1.Leases_Get_FullMethodName:     {Kind: System, Privilege: schema.ReadContexts},
	apiv1.Leases_List_FullMethodName:    {Kind: System, Privilege: schema.ReadContexts},
	apiv1.Leases_Acquire_FullMethodName: {Kind: System, Privilege: schema.WriteContexts},
	apiv1.Leases_Renew_FullMethodName:   {Kind: System, Privilege: schema.WriteContexts},
	apiv1.Leases_Release_FullMethodName: {Kind: System, Privilege: schema.WriteContexts},

	apiv1.Imports_GetImport_FullMethodName: {Kind: Table, Privilege: schema.Insert, Of: imported, Answer: true},
	apiv1.Imports_PutImport_FullMethodName: {Kind: Table, Privilege: schema.Insert, Of: imported},

	// Clients ask for the identity and the shard map before they write.
	apiv1.Cluster_Info_FullMethodName:   {Kind: Known},
	apiv1.Cluster_Status_FullMethodName: {Kind: System, Privilege: schema.Monitor},
	apiv1.Cluster_Map_FullMethodName:    {Kind: System, Privilege: schema.Monitor},
	// What is wanted of a node is the whole cluster's business.
	apiv1.Cluster_SetNode_FullMethodName: {Kind: Superuser},
	// A backup holds every table, and what passwords are proved against.
	apiv1.Cluster_Backup_FullMethodName: {Kind: Superuser},
	apiv1.Cluster_Hash_FullMethodName:   {Kind: System, Privilege: schema.Monitor},

	// Load balancers ask before anybody logs in.
	"/grpc.health.v1.Health/Check": {Kind: Free},
	"/grpc.health.v1.Health/List":  {Kind: Free},
	"/grpc.health.v1.Health/Watch": {Kind: Free},

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      {Kind: Known},
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {Kind: Known},
}

// named finds the table whose name stands in a request.
func named(view Directory, m proto.Message) *schema.Table {
	if w, ok := m.(*apiv1.WriteRequest); ok {
		m = w.GetBatch()
	}
	t, ok := m.(interface {
		GetDatabase() string
		GetSchema() string
		GetTable() string
	})
	if !ok {
		return nil
	}
	name := schema.Name{Database: t.GetDatabase(), Schema: t.GetSchema(), Table: t.GetTable()}
	if name.Database == "" {
		name.Database = "quipu"
	}
	if name.Schema == "" {
		name.Schema = "public"
	}
	return view.FindTable(name)
}

// imported finds the table of the record of an import, in the request that changes it or in the answer that shows it.
func imported(view Directory, m proto.Message) *schema.Table {
	rec, ok := m.(*apiv1.Import)
	if put, is := m.(*apiv1.PutImportRequest); is {
		rec, ok = put.GetImport(), true
	}
	if !ok {
		return nil
	}
	return view.TableByID(schema.TableID(rec.GetTableId()))
}

// SQL has a rule for every statement, by Verb. Table means that the tables which the statement names are tested when they are found.
var SQL = map[string]Rule{
	"Query":       {Kind: Table, Privilege: schema.Select},
	"Explain":     {Kind: Table, Privilege: schema.Select},
	"Insert":      {Kind: Table, Privilege: schema.Insert},
	"Delete":      {Kind: Table, Privilege: schema.Truncate},
	"Copy":        {Kind: Table, Privilege: schema.Select},
	"CopyFrom":    {Kind: Table, Privilege: schema.Insert},
	"CreateTable": {Kind: System, Privilege: schema.Create},
	"AlterTable":  {Kind: Table, Privilege: schema.Alter},
	"DropTable":   {Kind: Table, Privilege: schema.Drop},
	"Truncate":    {Kind: Table, Privilege: schema.Truncate},

	"CreateRole":  {Kind: Superuser},
	"AlterRole":   {Kind: Known}, // the keeper of the roles knows what a role may change of itself
	"DropRole":    {Kind: Superuser},
	"Grant":       {Kind: Known}, // and what it may grant on
	"CreateToken": {Kind: Superuser},
	"DropToken":   {Kind: Superuser},

	"Set":         {Kind: Known},
	"Show":        {Kind: Known},
	"Reset":       {Kind: Known},
	"Discard":     {Kind: Known},
	"Prepare":     {Kind: Known}, // its statement is one for itself, when it is prepared and when it is run
	"Execute":     {Kind: Known},
	"Deallocate":  {Kind: Known},
	"Close":       {Kind: Known},
	"Declare":     {Kind: Known}, // its query is a statement for itself
	"Fetch":       {Kind: Known},
	"Transaction": {Kind: Known},
	"Unlisten":    {Kind: Known},

	"SetTransaction": {Kind: Known},
}

// Relations has a rule for every relation of schema quipu. Those of the PostgreSQL catalogs describe definitions and names, which every role sees.
var Relations = map[string]Rule{
	"quipu.tables":   {Kind: Known},
	"quipu.settings": {Kind: Known},
	"quipu.shards":   {Kind: Known},
	"quipu.contexts": {Kind: System, Privilege: schema.ReadContexts},
	// Who works with what, and values that others wrote into their statements.
	"quipu.sessions":   {Kind: System, Privilege: schema.Monitor},
	"quipu.jobs":       {Kind: System, Privilege: schema.Monitor},
	"quipu.queries":    {Kind: System, Privilege: schema.Monitor},
	"quipu.statements": {Kind: System, Privilege: schema.Monitor},
	"quipu.nodes":      {Kind: System, Privilege: schema.Monitor},
	"quipu.replicas":   {Kind: System, Privilege: schema.Monitor},
}

// Verb names a kind of statement: that of its type, but CopyFrom for COPY … FROM.
func Verb(st sql.Statement) string {
	switch st := st.(type) {
	case *sql.Query: // most statements: reflection takes longer than all else that is asked of them
		return "Query"
	case *sql.Copy:
		if st.From {
			return "CopyFrom"
		}
	}
	t := reflect.TypeOf(st)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// HTTP has a rule for every pattern of the HTTP server.
var HTTP = map[string]Rule{
	"GET /{$}":               {Kind: Free}, // says that a node is here
	"GET /livez":             {Kind: Free},
	"GET /readyz":            {Kind: Free},
	"GET /healthz":           {Kind: Free},
	"GET /metrics":           {Kind: System, Privilege: schema.Monitor},
	"GET /v1/openapi.json":   {Kind: Free},
	"/v1/query":              {Kind: Calls},
	"/v1/copy":               {Kind: Calls},
	"GET /v1/contexts:watch": {Kind: System, Privilege: schema.ReadContexts}, // its answer begins before that of the RPC
	"/v1/":                   {Kind: Calls},
	"/":                      {Kind: Free}, // nothing is there
}
