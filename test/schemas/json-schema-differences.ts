/** What of the public tests of JSON Schema is answered otherwise, by the reason: what happens, test by test. `no end`: a value is refused as nested too deeply. */
export const differences: readonly {
  readonly reason: string
  readonly groups: Readonly<Record<string, readonly string[]>>
}[] = [
  {
    reason: 'Ajv leaves out what has the name `__proto__`, so schemas that name it are refused.',
    groups: {
      'draft4 properties.json: properties whose names are Javascript object property names': [
        'ignores arrays: no schema',
        'ignores other non-objects: no schema',
        'none of the properties mentioned: no schema',
        '__proto__ not valid: no schema',
        'toString not valid: no schema',
        'constructor not valid: no schema',
        'all present and valid: no schema'
      ],
      'draft6 properties.json: properties whose names are Javascript object property names': [
        'ignores arrays: no schema',
        'ignores other non-objects: no schema',
        'none of the properties mentioned: no schema',
        '__proto__ not valid: no schema',
        'toString not valid: no schema',
        'constructor not valid: no schema',
        'all present and valid: no schema'
      ],
      'draft7 properties.json: properties whose names are Javascript object property names': [
        'ignores arrays: no schema',
        'ignores other non-objects: no schema',
        'none of the properties mentioned: no schema',
        '__proto__ not valid: no schema',
        'toString not valid: no schema',
        'constructor not valid: no schema',
        'all present and valid: no schema'
      ],
      'draft2019-09 properties.json: properties whose names are Javascript object property names': [
        'ignores arrays: no schema',
        'ignores other non-objects: no schema',
        'none of the properties mentioned: no schema',
        '__proto__ not valid: no schema',
        'toString not valid: no schema',
        'constructor not valid: no schema',
        'all present and valid: no schema'
      ],
      'draft2020-12 properties.json: properties whose names are Javascript object property names': [
        'ignores arrays: no schema',
        'ignores other non-objects: no schema',
        'none of the properties mentioned: no schema',
        '__proto__ not valid: no schema',
        'toString not valid: no schema',
        'constructor not valid: no schema',
        'all present and valid: no schema'
      ]
    }
  },
  {
    reason: 'An address in a keyword that nobody knows is one: two of them with the same address are refused.',
    groups: {
      'draft6 optional/unknownKeyword.json: $id inside an unknown keyword is not a real identifier': [
        'type matches second anyOf, which has a real schema in it: no schema',
        'type matches non-schema in first anyOf: no schema',
        'type matches non-schema in third anyOf: no schema'
      ],
      'draft7 optional/unknownKeyword.json: $id inside an unknown keyword is not a real identifier': [
        'type matches second anyOf, which has a real schema in it: no schema',
        'type matches non-schema in first anyOf: no schema',
        'type matches non-schema in third anyOf: no schema'
      ],
      'draft2019-09 optional/unknownKeyword.json: $id inside an unknown keyword is not a real identifier': [
        'type matches second anyOf, which has a real schema in it: no schema',
        'type matches non-schema in first anyOf: no schema',
        'type matches non-schema in third anyOf: no schema'
      ],
      'draft2020-12 optional/unknownKeyword.json: $id inside an unknown keyword is not a real identifier': [
        'type matches second anyOf, which has a real schema in it: no schema',
        'type matches non-schema in first anyOf: no schema',
        'type matches non-schema in third anyOf: no schema'
      ]
    }
  },
  {
    reason: 'Schemas that are used are read by the draft of the one that uses them.',
    groups: {
      'draft7 optional/cross-draft.json: refs to future drafts are processed as future drafts': [
        'missing bar is invalid: no schema',
        'present bar is valid: no schema'
      ],
      'draft2019-09 optional/cross-draft.json: refs to future drafts are processed as future drafts': [
        'first item not a string is invalid: no schema',
        'first item is a string is valid: no schema'
      ],
      'draft2019-09 optional/cross-draft.json: refs to historic drafts are processed as historic drafts': [
        'missing bar is valid: no schema'
      ],
      'draft2020-12 optional/cross-draft.json: refs to historic drafts are processed as historic drafts': [
        'first item not a string is valid: no schema'
      ]
    }
  },
  {
    reason: 'An `enum` without values is refused: nothing fits it.',
    groups: {
      'draft2019-09 enum.json: empty enum': [
        'string is invalid: no schema',
        'number is invalid: no schema',
        'null is invalid: no schema',
        'object is invalid: no schema',
        'array is invalid: no schema',
        'boolean is invalid: no schema'
      ],
      'draft2020-12 enum.json: empty enum': [
        'string is invalid: no schema',
        'number is invalid: no schema',
        'null is invalid: no schema',
        'object is invalid: no schema',
        'array is invalid: no schema',
        'boolean is invalid: no schema'
      ]
    }
  },
  {
    reason: 'Vocabularies of a meta-schema of its own count for nothing.',
    groups: {
      'draft2019-09 vocabulary.json: schema that uses custom metaschema with with no validation vocabulary': [
        'no validation: invalid number, but it still validates: refused'
      ],
      'draft2020-12 vocabulary.json: schema that uses custom metaschema with with no validation vocabulary': [
        'no validation: invalid number, but it still validates: refused'
      ]
    }
  },
  {
    reason: 'Ajv knows `$dynamicRef` only by a name of the same schema, as recursion.',
    groups: {
      'draft2020-12 dynamicRef.json: A $dynamicRef to a $dynamicAnchor in the same schema resource behaves like a normal $ref to an $anchor':
        ['An array of strings is valid: refused'],
      'draft2020-12 dynamicRef.json: A $dynamicRef to an $anchor in the same schema resource behaves like a normal $ref to an $anchor':
        ['An array of strings is valid: refused'],
      'draft2020-12 dynamicRef.json: A $dynamicRef resolves to the first $dynamicAnchor still in scope that is encountered when the schema is evaluated':
        ['An array of strings is valid: refused'],
      'draft2020-12 dynamicRef.json: A $dynamicRef without anchor in fragment behaves identical to $ref': [
        'An array of numbers is valid: refused'
      ],
      "draft2020-12 dynamicRef.json: A $dynamicRef with intermediate scopes that don't include a matching $dynamicAnchor does not affect dynamic scope resolution":
        ['An array of strings is valid: refused'],
      'draft2020-12 dynamicRef.json: An $anchor with the same name as a $dynamicAnchor is not used for dynamic scope resolution':
        ['Any array is valid: refused'],
      'draft2020-12 dynamicRef.json: A $dynamicRef without a matching $dynamicAnchor in the same schema resource behaves like a normal $ref to $anchor':
        ['Any array is valid: refused'],
      'draft2020-12 dynamicRef.json: A $dynamicRef with a non-matching $dynamicAnchor in the same schema resource behaves like a normal $ref to $anchor':
        ['Any array is valid: refused'],
      'draft2020-12 dynamicRef.json: A $dynamicRef that initially resolves to a schema with a matching $dynamicAnchor resolves to the first $dynamicAnchor in the dynamic scope':
        [
          'The recursive part is valid against the root: no schema',
          'The recursive part is not valid against the root: no schema'
        ],
      'draft2020-12 dynamicRef.json: A $dynamicRef that initially resolves to a schema without a matching $dynamicAnchor behaves like a normal $ref to $anchor':
        ["The recursive part doesn't need to validate against the root: no schema"],
      'draft2020-12 dynamicRef.json: multiple dynamic paths to the $dynamicRef keyword': [
        'number list with string values: stored',
        'string list with number values: stored'
      ],
      'draft2020-12 dynamicRef.json: after leaving a dynamic scope, it is not used by a $dynamicRef': [
        'string matches /$defs/thingy, but the $dynamicRef does not stop here: no schema',
        'first_scope is not in dynamic scope for the $dynamicRef: no schema',
        '/then/$defs/thingy is the final stop for the $dynamicRef: no schema'
      ],
      'draft2020-12 dynamicRef.json: tests for implementation dynamic anchor and reference link': [
        'correct extended schema: refused'
      ],
      'draft2020-12 dynamicRef.json: $ref and $dynamicAnchor are independent of order - $defs first': [
        'correct extended schema: refused'
      ],
      'draft2020-12 dynamicRef.json: $ref and $dynamicAnchor are independent of order - $ref first': [
        'correct extended schema: refused'
      ],
      'draft2020-12 dynamicRef.json: $ref to $dynamicRef finds detached $dynamicAnchor': [
        'number is valid: no end',
        'non-number is invalid: no end'
      ],
      'draft2020-12 dynamicRef.json: $dynamicRef points to a boolean schema': [
        'follow $dynamicRef to a false schema: stored'
      ],
      'draft2020-12 dynamicRef.json: $dynamicRef skips over intermediate resources - direct reference': [
        'integer property passes: refused'
      ],
      'draft2020-12 dynamicRef.json: $dynamicRef avoids the root of each schema, but scopes are still registered': [
        'data is sufficient for schema at second#/$defs/length: no end',
        'data is not sufficient for schema at second#/$defs/length: no end'
      ],
      'draft2020-12 optional/dynamicRef.json: $dynamicRef skips over intermediate resources - pointer reference across resource boundary':
        ['integer property passes: refused'],
      'draft2020-12 unevaluatedItems.json: unevaluatedItems with $dynamicRef': [
        'with no unevaluated items: no end',
        'with unevaluated items: no end'
      ],
      'draft2020-12 unevaluatedProperties.json: unevaluatedProperties with $dynamicRef': [
        'with no unevaluated properties: no end',
        'with unevaluated properties: no end'
      ]
    }
  },
  {
    reason: 'Ajv takes `$recursiveRef` for the root of the whole schema.',
    groups: {
      'draft2019-09 recursiveRef.json: $recursiveRef with no $recursiveAnchor in the initial target schema resource': [
        'leaf node matches: recursion uses the inner schema: refused',
        'leaf node does not match: recursion uses the inner schema: stored'
      ]
    }
  },
  {
    reason:
      'Ajv does not end where schemas with addresses of their own refer to each other in a circle, so they are refused.',
    groups: {
      'draft2019-09 ref.json: refs with relative uris and defs': [
        'invalid on inner field: no schema',
        'invalid on outer field: no schema',
        'valid on both fields: no schema'
      ],
      'draft2019-09 ref.json: relative refs with absolute uris and defs': [
        'invalid on inner field: no schema',
        'invalid on outer field: no schema',
        'valid on both fields: no schema'
      ],
      'draft2019-09 ref.json: URN ref with nested pointer ref': [
        'a string is valid: no schema',
        'a non-string is invalid: no schema'
      ],
      'draft2020-12 ref.json: refs with relative uris and defs': [
        'invalid on inner field: no schema',
        'invalid on outer field: no schema',
        'valid on both fields: no schema'
      ],
      'draft2020-12 ref.json: relative refs with absolute uris and defs': [
        'invalid on inner field: no schema',
        'invalid on outer field: no schema',
        'valid on both fields: no schema'
      ],
      'draft2020-12 ref.json: URN ref with nested pointer ref': [
        'a string is valid: no schema',
        'a non-string is invalid: no schema'
      ]
    }
  },
  {
    reason:
      'Ajv does not know for `unevaluatedItems` and `unevaluatedProperties` what `contains`, or an `if` without `then`, has seen.',
    groups: {
      'draft2019-09 unevaluatedItems.json: unevaluatedItems with nested items': [
        'with no additional items: refused',
        'with invalid additional item: stored'
      ],
      'draft2019-09 unevaluatedItems.json: unevaluatedItems can see annotations from if without then and else': [
        'valid in case if is evaluated: refused'
      ],
      'draft2019-09 unevaluatedProperties.json: unevaluatedProperties with if/then/else, then not defined': [
        'when if is true and has no unevaluated properties: refused',
        'when if is false and has unevaluated properties: stored'
      ],
      'draft2019-09 unevaluatedProperties.json: unevaluatedProperties can see annotations from if without then and else':
        ['valid in case if is evaluated: refused'],
      'draft2020-12 unevaluatedItems.json: unevaluatedItems with nested items': [
        'with no additional items: refused',
        'with invalid additional item: stored'
      ],
      'draft2020-12 unevaluatedItems.json: unevaluatedItems depends on adjacent contains': [
        'contains passes, second item is not evaluated: stored'
      ],
      'draft2020-12 unevaluatedItems.json: unevaluatedItems depends on multiple nested contains': [
        '7 not evaluated, fails unevaluatedItems: stored'
      ],
      'draft2020-12 unevaluatedItems.json: unevaluatedItems and contains interact to control item dependency relationship':
        [
          "only b's are invalid: stored",
          "only c's are invalid: stored",
          "only b's and c's are invalid: stored",
          "only a's and c's are invalid: stored"
        ],
      'draft2020-12 unevaluatedItems.json: unevaluatedItems with minContains = 0': [
        'all items evaluated by contains: refused'
      ],
      'draft2020-12 unevaluatedItems.json: unevaluatedItems can see annotations from if without then and else': [
        'valid in case if is evaluated: refused'
      ],
      'draft2020-12 unevaluatedProperties.json: unevaluatedProperties with if/then/else, then not defined': [
        'when if is true and has no unevaluated properties: refused',
        'when if is false and has unevaluated properties: stored'
      ],
      'draft2020-12 unevaluatedProperties.json: unevaluatedProperties can see annotations from if without then and else':
        ['valid in case if is evaluated: refused']
    }
  }
]
