import { pathToFileURL } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { apis } from '../../../src/apis/apis.js'
import { groupBy } from '../../../src/core/maps.js'
import type { Leaf } from '../../../src/core/settings/leaves.js'
import { describeSettings } from '../../../src/server/config/schema.js'

const KIB = 1024
const MIB = 1024 * KIB

/** The settings most deployments have to do with; `npm run docs` writes them after a change of the schema. */
const PUBLIC = {
  page: 'docs/configuration.md',
  firstHeading: '### http\n',
  isOf: (leaf: Leaf) => !leaf.isAdvanced,
  describesSections: true
}

/** Those that stand in `advanced`, in sections of the same names. */
const ADVANCED = {
  page: 'docs/advanced-settings.md',
  firstHeading: '### advanced.http\n',
  isOf: (leaf: Leaf) => leaf.isAdvanced,
  describesSections: false
}

/** Once: it takes half a second. */
const described = describeSettings()

export const settingsPages = [PUBLIC, ADVANCED] as const
type SettingsPage = (typeof settingsPages)[number]

/** The tables of a page, made of the schema. */
export function settingsTables({ isOf, describesSections }: SettingsPage): string {
  const { sections, leaves } = described
  const ofPage = leaves.filter(isOf)
  const shown: { readonly name: string; readonly rows: readonly string[] }[] = []
  const tables = sections
    .filter(({ path }) => ofPage.some(leaf => path.every((part, index) => part === leaf.path[index])))
    .map(({ path, description }) => {
      const name = nameOf(path)
      const rows = ofPage.filter(leaf => isDirectlyIn(path, leaf) && !isOfSeveralApis(leaf)).map(toRow)
      const relative = rows.map(row => row.replace(`${name}.`, ''))
      const same = rows.length > 0 && shown.find(other => isDeepStrictEqual(other.rows, relative))
      shown.push({ name, rows: relative })
      const parts = [
        ...(describesSections ? [`${description}.`] : []),
        ...(same ? [`The same settings as in \`${same.name}\`.`] : rows.length === 0 ? [] : [tableOf(rows)]),
        ...(path.join('.') === 'apis' ? [commonTable(ofPage)] : [])
      ]
      return { name, parts }
    })
    .filter(({ parts }) => parts.length > 0)
    // Without the backticks the part in brackets would be HTML.
    .map(({ name, parts }) => `### ${name.includes('<') ? `\`${name}\`` : name}\n\n${parts.join('\n\n')}`)
  return `${tables.join('\n\n')}\n`
}

const tableOf = (rows: readonly string[]): string =>
  `| setting | type | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}`

/**
 * How many settings a page has: its rows. What every API has counts once, and so do all members of a definition of a webhook, or
 * of a credential for one.
 */
export const rowsOf = (page: SettingsPage): number => {
  const names = settingsTables(page).match(/^\| `[^`]+/gm)!
  return new Set(names.map(name => /`webhooks\.(?:definitions|credentials)/.exec(name)?.[0] ?? name)).size
}

/** A setting that several APIs have, with the same meaning. */
const isOfSeveralApis = (leaf: Leaf): boolean => apisWith(leaf).length > 1

const apisWith = ({ path, description }: Leaf): readonly Leaf[] =>
  path[0] === 'apis' && path.length === 3
    ? described.leaves.filter(other => other.path[2] === path[2] && other.description === description)
    : []

/** One row for each setting that several APIs have, with each default and the APIs that have it. */
function commonTable(leaves: readonly Leaf[]): string {
  const ofSeveral = leaves.filter(isOfSeveralApis)
  const rows = [...new Set(ofSeveral.map(({ path }) => path[2]!))].map(name => {
    const all = ofSeveral.filter(({ path }) => path[2] === name)
    const [first] = all
    const byDefault = groupBy(all, ({ path, defaultValue }) => toDefault(path, defaultValue) || 'none')
    const defaults = [...byDefault].map(([value, those]) => `${those.map(({ path }) => path[1]).join(', ')}: ${value}`)
    const isSame = new Set(all.map(({ defaultValue }) => defaultValue)).size === 1 && all.length === apis.length
    const shownDefault = isSame ? toDefault(first!.path, first!.defaultValue) : defaults.join('; ')
    return `| \`apis.<api>.${name}\` | ${first!.type} | ${shownDefault} | ${first!.description}. |`
  })
  return `What all or several APIs have, \`<api>\` being the name of one:\n\n${tableOf(rows)}`
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
  const { readFileSync, writeFileSync } = await import('node:fs')
  for (const each of settingsPages) {
    const { page, firstHeading } = each
    const text = readFileSync(page, 'utf8')
    writeFileSync(page, text.slice(0, text.indexOf(firstHeading)) + settingsTables(each))
  }
}
