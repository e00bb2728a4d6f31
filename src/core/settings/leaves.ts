import { z } from 'zod'

/** The kind of value of a setting, for parsing text and for documentation. */
export type LeafKind = 'string' | 'number' | 'boolean' | 'list' | 'numberOrWord' | 'structure'

/** One setting: a place in the configuration that holds a value, and no further settings. */
export interface Leaf {
  /**
   * For example `['http', 'port']`. `*` stands for a name that the operator chooses: `['clusters', '*', 'brokers']`.
   */
  readonly path: readonly string[]
  readonly kind: LeafKind
  /** The type in words: `integer`, `"a" or "b"`, `list of text`. */
  readonly type: string
  /** `undefined`: there is no default, and the setting may be absent. */
  readonly defaultValue: unknown
  readonly description: string
  readonly isAdvanced: boolean
  /** The value must not be shown: it is a secret, or a list of structures with secrets. */
  readonly isSecret: boolean
  /** Names of the fields that hold secrets: the setting itself, or fields in its structures. */
  readonly secretNames: readonly string[]
  /** Describes an entry, if the setting is a list. */
  readonly item?: Leaf | undefined
  /** Describes the members, if this is a structure in a list. */
  readonly members?: readonly Leaf[] | undefined
}

export interface Section {
  readonly path: readonly string[]
  readonly description: string
}

/** A node of the JSON Schema that zod makes from our schema, with the fields that are used here. */
interface SettingNode {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly SettingNode[]
  readonly items?: SettingNode
  readonly properties?: Readonly<Record<string, SettingNode>>
  readonly additionalProperties?: SettingNode | boolean
  readonly secret?: boolean
  readonly advanced?: boolean
}

/** Every section and every setting of a schema, in its order. */
export function describeSchema(schema: z.ZodType): {
  readonly sections: readonly Section[]
  readonly leaves: readonly Leaf[]
} {
  const sections: Section[] = []
  const leaves: Leaf[] = []
  const visit = (node: SettingNode, path: readonly string[]): void => {
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
  visit(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SettingNode, [])
  return { sections, leaves }
}

function toLeaf(node: SettingNode, path: readonly string[]): Leaf {
  const items = node.items ?? node.anyOf?.find(one => one.items)?.items
  const properties = node.properties && Object.entries(node.properties)
  const fields = Object.entries(node.items?.properties ?? node.properties ?? {})
  const secretNames =
    node.secret === true ? [path.at(-1)!] : fields.filter(([, { secret }]) => secret).map(([name]) => name)
  return {
    path,
    kind: kindOf(node),
    type: typeOf(node),
    defaultValue: node.default,
    description: node.description ?? '',
    isAdvanced: node.advanced === true,
    isSecret: secretNames.length > 0,
    secretNames,
    item: items && toLeaf(items, [...path, '*']),
    members: properties?.map(([name, member]) => toLeaf(member, [...path, name]))
  }
}

function kindOf(node: SettingNode): LeafKind {
  if (node.anyOf) return 'numberOrWord'
  if (node.type === 'integer' || node.type === 'number') return 'number'
  if (node.type === 'boolean') return 'boolean'
  if (node.type !== 'array') return 'string'
  return node.items?.properties ? 'structure' : 'list'
}

function typeOf(node: SettingNode): string {
  if (node.anyOf) return node.anyOf.map(typeOf).join(' or ')
  if (node.enum) return node.enum.map(value => `\`${value}\``).join(', ')
  if (node.const !== undefined) return `\`${node.const}\``
  if (node.type === 'array') return `list of ${itemType(node.items)}`
  if (node.properties) return `\`{${Object.keys(node.properties).join(', ')}}\``
  return node.type === 'string' ? 'text' : (node.type ?? 'any')
}

/** `text`, or `{topic, maxPerMinute}` for items that only a file can express. */
const itemType = (items: SettingNode | undefined): string => (items?.properties || items?.enum ? typeOf(items) : 'text')
