// Package schema tells the API which fields a vault holds and what their values look like.
//
// It guarantees that a field name that reaches a store or the parent is one that the deployment configured:
// lower-case ASCII, at most [MaxName] bytes, never a reserved one ([Reserved]). Only to remove a field may a caller
// name one that the schema no longer has. So a caller can neither read, write nor remove the attributes that hold
// keys and metadata. FieldErrors name the field and the rule that it broke and never repeat the value, since both
// answers and logs carry them.
//
// Values are text of any kind. Control characters, and those that change the direction of text, are allowed unless a
// field's pattern refuses them, as [Plain] does. A program that shows values must take care of that.
//
// A schema is a YAML file. [Default] is the schema of the reference, the AWS sample that Redoubt succeeds, so that
// its callers work unchanged.
package schema
