import { pathToFileURL } from 'node:url'
import type { Leaf } from '../../../src/core/settings/leaves.js'
import { describeSettings } from '../../../src/server/config/schema.js'

const KIB = 1024
const MIB = 1024 * KIB

/**
 * The tables of docs/configuration.md, made of the schema. `npm run docs` puts them there after a change of the schema.
 */
export function settingsTables(): string {
  const { sections, leaves } = describeSettings()
  const tables = sections.map(({ path, description }) => {
    const rows = leaves.filter(leaf => isDirectlyIn(path, leaf)).map(toRow)
    const table =
      rows.length === 0 ? '' : `\n\n| setting | type | default | what it does |\n|---|---|---|---|\n${rows.join('\n')}`
    return `### ${nameOf(path)}\n\n${description}.${table}`
  })
  return `${tables.join('\n\n')}\n`
}

/** `clusters.<name>.brokers` stands under `clusters`. */
const isDirectlyIn = (section: readonly string[], { path }: Leaf): boolean => {
  const parent = path.slice(0, -1)
  const own = parent.at(-1) === '*' ? parent.slice(0, -1) : parent
  return own.join('.') === section.join('.')
}

const nameOf = (path: readonly string[]): string => path.map(part => (part === '*' ? '<name>' : part)).join('.')

function toRow({ path, type, defaultValue, description, isSecret }: Leaf): string {
  const secret = isSecret ? ' (secret)' : ''
  return `| \`${nameOf(path)}\` | ${type}${secret} | ${toDefault(path, defaultValue)} | ${description}. |`
}

function toDefault(path: readonly string[], value: unknown): string {
  if (value === undefined) return ''
  if (Array.isArray(value)) return value.length === 0 ? 'empty' : `\`${value.join(',')}\``
  if (typeof value === 'number' && path.at(-1)!.endsWith('Bytes')) return `\`${value}\`${inUnits(value)}`
  return `\`${String(value)}\``
}

function inUnits(bytes: number): string {
  if (bytes % MIB === 0) return ` (${bytes / MIB} MiB)`
  return bytes % KIB === 0 ? ` (${bytes / KIB} KiB)` : ''
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (process.argv.includes('--write')) {
    const { readFileSync, writeFileSync } = await import('node:fs')
    const page = readFileSync('docs/configuration.md', 'utf8')
    writeFileSync('docs/configuration.md', page.slice(0, page.indexOf('### http')) + settingsTables())
  } else process.stdout.write(settingsTables())
}
