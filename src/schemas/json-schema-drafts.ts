import { Ajv } from 'ajv'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { Ajv2020 } from 'ajv/dist/2020.js'
import draft04 from 'ajv-draft-04'
import { isObject } from './codec.js'

export type AjvOfDraft = typeof Ajv

/** A draft of JSON Schema, and what Ajv has to be told of it. */
export interface Draft {
  readonly Ajv: AjvOfDraft
  /** URI of the draft's meta-schema. */
  readonly uri: string
  readonly idKeyword: 'id' | '$id'
  /** Keywords that Ajv would apply, and that this draft does not have. */
  readonly unknown: readonly string[]
  /** Whether all else in an object with `$ref` is ignored. */
  readonly isRefAlone: boolean
}

/** Keywords that belong to no draft: `nullable` comes from OpenAPI, `$async` from Ajv. */
const OF_NONE = ['nullable', '$async']
const SINCE_2019 = ['$anchor', '$recursiveRef', '$recursiveAnchor']
const SINCE_2020 = ['$dynamicRef', '$dynamicAnchor']
const SINCE_7 = ['if', 'then', 'else']
const SINCE_6 = ['$id', 'const', 'contains', 'propertyNames']
const NOT_IN_6 = [...OF_NONE, ...SINCE_2019, ...SINCE_2020]

export const DRAFT_7: Draft = {
  Ajv,
  uri: 'http://json-schema.org/draft-07/schema',
  idKeyword: '$id',
  unknown: NOT_IN_6,
  isRefAlone: true
}

/** Drafts by a part of `$schema`. Without any of these parts, the draft is 7. */
const DRAFTS: ReadonlyMap<string, Draft> = new Map<string, Draft>([
  [
    'draft-04',
    {
      Ajv: draft04.default,
      uri: 'http://json-schema.org/draft-04/schema',
      idKeyword: 'id',
      unknown: [...OF_NONE, ...SINCE_6, ...SINCE_7, ...SINCE_2019, ...SINCE_2020],
      isRefAlone: true
    }
  ],
  ['draft-06', { ...DRAFT_7, uri: 'http://json-schema.org/draft-06/schema', unknown: [...NOT_IN_6, ...SINCE_7] }],
  [
    '2019-09',
    {
      Ajv: Ajv2019,
      uri: 'https://json-schema.org/draft/2019-09/schema',
      idKeyword: '$id',
      unknown: [...OF_NONE, ...SINCE_2020],
      isRefAlone: false
    }
  ],
  [
    '2020-12',
    {
      Ajv: Ajv2020,
      uri: 'https://json-schema.org/draft/2020-12/schema',
      idKeyword: '$id',
      unknown: [...OF_NONE, '$recursiveRef', '$recursiveAnchor'],
      isRefAlone: false
    }
  ]
])

/** @param otherwise for a schema that does not name its draft */
export function draftOf(schema: unknown, otherwise = DRAFT_7): Draft {
  const { $schema } = isObject(schema) ? schema : {}
  if ($schema === undefined) return otherwise
  return [...DRAFTS].find(([name]) => String($schema).includes(name))?.[1] ?? DRAFT_7
}

/** Keywords whose values are data, and no schemas. */
const DATA = new Set(['const', 'enum', 'default', 'examples', 'required', 'type', '$vocabulary'])
/** Keywords whose members are schemas by free names. */
const BY_NAME = new Set([
  'properties',
  'patternProperties',
  'definitions',
  '$defs',
  'dependencies',
  'dependentSchemas',
  'dependentRequired'
])
/** Members that stay in an object with `$ref` in drafts that ignore the others: only those that something may refer to. */
const BESIDE_REF = new Set(['$ref', 'definitions', '$defs'])
/** Keywords that these drafts ignore beside `$ref`. References may lead to other members. */
const KEYWORDS = new Set([
  ...[...SINCE_6, ...SINCE_7, ...DATA, ...BY_NAME].filter(name => !BESIDE_REF.has(name)),
  ...['id', 'title', 'description', 'format', 'pattern', 'items', 'additionalItems', 'additionalProperties', 'not'],
  ...['allOf', 'anyOf', 'oneOf', 'maximum', 'minimum', 'exclusiveMaximum', 'exclusiveMinimum', 'multipleOf'],
  ...['maxLength', 'minLength', 'maxItems', 'minItems', 'uniqueItems', 'maxProperties', 'minProperties']
])

/** Keywords whose values may be objects. By the names of others, an object is a schema that something may refer to. */
const OBJECTS = new Set([...SINCE_6, ...SINCE_7])

export type Members = Record<string, unknown>

/** The name of the root, which Ajv does not find. */
interface Anchor {
  readonly name: string
  /** Address before the fragment; empty: there is none. */
  readonly base: string
  /** Whether the name alone is that of the root, and not of another schema with an address of its own. */
  readonly isHere: boolean
}

/**
 * Removes keywords from a schema that its draft ignores and Ajv would use. The schema itself is changed, because others
 * refer to the same objects.
 *
 * @throws RangeError if it is nested too deeply
 */
export function keepOfDraft(schema: unknown, draft: Draft): void {
  if (!isObject(schema)) return
  keep(schema as Members, draft, anchorOf(schema as Members, draft))
}

function anchorOf(root: Members, { idKeyword, isRefAlone }: Draft): Anchor | undefined {
  const { [idKeyword]: id } = root
  const [base = '', fragment = ''] = typeof id === 'string' ? id.split('#') : []
  const name = isRefAlone ? fragment : (root.$anchor ?? root.$dynamicAnchor)
  if (typeof name !== 'string' || name === '' || name.startsWith('/')) return undefined
  if (isRefAlone && base === '') delete root[idKeyword]
  else if (isRefAlone) root[idKeyword] = base
  return { name: `#${name}`, base, isHere: true }
}

function keep(schema: Members, draft: Draft, ofRoot: Anchor | undefined, isRoot = true): void {
  for (const name of draft.unknown) if (OBJECTS.has(name) || !isObject(schema[name])) delete schema[name]
  if (draft.isRefAlone && typeof schema.$ref === 'string')
    for (const name of Object.keys(schema)) if (KEYWORDS.has(name)) delete schema[name]
  const { [draft.idKeyword]: id } = schema
  const isElsewhere = !isRoot && typeof id === 'string' && !id.startsWith('#')
  const anchor = ofRoot !== undefined && isElsewhere ? { ...ofRoot, isHere: false } : ofRoot
  if (anchor?.isHere === true && schema.$ref === anchor.name) schema.$ref = '#'
  else if (anchor !== undefined && anchor.base !== '' && schema.$ref === anchor.base + anchor.name)
    schema.$ref = anchor.base
  for (const one of schemasIn(schema)) keep(one, draft, anchor, false)
}

/** The schemas right within one. What no draft knows may hold schemas that something refers to. */
export function* schemasIn(schema: Members): Generator<Members> {
  for (const name of Object.keys(schema)) {
    const { [name]: value } = schema
    if (DATA.has(name)) continue
    const inner = Array.isArray(value) ? value : isObject(value) && BY_NAME.has(name) ? Object.values(value) : [value]
    for (const one of inner) if (isObject(one)) yield one as Members
  }
}
