import { z } from 'zod'

/** The kind of value of a setting, for parsing text and for documentation. */
export type LeafKind = 'string' | 'number' | 'boolean' | 'list' | 'numberOrWord' | 'structure'

/** One setting: a place in the configuration that holds a value rather than further settings. */
export interface Leaf {
  /** `['http', 'port']`; `*` stands for a name the operator chooses: `['clusters', '*', 'brokers']`. */
  readonly path: readonly string[]
  readonly kind: LeafKind
  /** The type in words: `integer`, `"a" or "b"`, `list of text`. */
  readonly type: string
  /** `undefined`: none, the setting may be absent. */
  readonly defaultValue: unknown
  readonly description: string
  /** Its value must not be shown: it is a secret, or a list of structures with secrets. */
  readonly isSecret: boolean
  /** Names of the fields under which secrets stand: its own, or those of the structures. */
  readonly secretNames: readonly string[]
}

/** A section: a place that holds further settings. */
export interface Section {
  readonly path: readonly string[]
  readonly description: string
}

/** The part of JSON Schema that zod makes of our schema and that is looked at here. */
interface Node {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Node[]
  readonly items?: Node
  readonly properties?: Readonly<Record<string, Node>>
  readonly additionalProperties?: Node | boolean
  readonly secret?: boolean
}

/** Every section and every setting of a schema, in its order. */
export function describeSchema(schema: z.ZodType): {
  readonly sections: readonly Section[]
  readonly leaves: readonly Leaf[]
} {
  const sections: Section[] = []
  const leaves: Leaf[] = []
  const visit = (node: Node, path: readonly string[]): void => {
    const children = Object.entries(node.properties ?? {})
    const named = typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined
    if (children.length === 0 && !named) {
      leaves.push(toLeaf(node, path))
      return
    }
    if (path.length > 0 && path.at(-1) !== '*') sections.push({ path, description: node.description ?? '' })
    for (const [name, child] of children) visit(child, [...path, name])
    if (named) visit(named, [...path, '*'])
  }
  visit(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Node, [])
  return { sections, leaves }
}

function toLeaf(node: Node, path: readonly string[]): Leaf {
  const fields = Object.entries(node.items?.properties ?? {})
  const secretNames =
    node.secret === true ? [path.at(-1)!] : fields.filter(([, { secret }]) => secret).map(([name]) => name)
  return {
    path,
    kind: kindOf(node),
    type: typeOf(node),
    defaultValue: node.default,
    description: node.description ?? '',
    isSecret: secretNames.length > 0,
    secretNames
  }
}

function kindOf(node: Node): LeafKind {
  if (node.anyOf) return 'numberOrWord'
  if (node.type === 'integer' || node.type === 'number') return 'number'
  if (node.type === 'boolean') return 'boolean'
  if (node.type !== 'array') return 'string'
  return node.items?.properties ? 'structure' : 'list'
}

function typeOf(node: Node): string {
  if (node.anyOf) return node.anyOf.map(typeOf).join(' or ')
  if (node.enum) return node.enum.map(value => `\`${value}\``).join(', ')
  if (node.const !== undefined) return `\`${node.const}\``
  if (node.type === 'array') return `list of ${itemType(node.items)}`
  return node.type === 'string' ? 'text' : (node.type ?? 'any')
}

/** `text`, or `{topic, maxPerMinute}` for what only a file can say. */
const itemType = (items: Node | undefined): string =>
  items?.properties ? `\`{${Object.keys(items.properties).join(', ')}}\`` : 'text'
