import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { type Codec, isObject, Misfit, type SchemaSource } from '../../src/schemas/codec.js'
import { createJsonSchema } from '../../src/schemas/json-schema.js'
import { differences } from './json-schema-differences.js'

interface Group {
  readonly description: string
  readonly schema: unknown
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[]
}

const FOLDER = 'test/data/json-schema-suite'
const MAX_BYTES = 1024 * 1024
/** Drafts whose schemas in the suite do not name them, and others. */
const DRAFTS: Readonly<Record<string, string>> = {
  draft4: 'http://json-schema.org/draft-04/schema#',
  draft6: 'http://json-schema.org/draft-06/schema#',
  draft7: 'http://json-schema.org/draft-07/schema#',
  'draft2019-09': 'https://json-schema.org/draft/2019-09/schema',
  'draft2020-12': 'https://json-schema.org/draft/2020-12/schema'
}
const ADDRESS = 'http://localhost:1234/'

const read = <Content>(name: string): Content => JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8')) as Content
const remotes = Object.entries(read<Readonly<Record<string, unknown>>>('remotes.json'))

/** What a draft may refer to, by the address that it refers by. */
const usedIn = (draft: string): ReadonlyMap<string, string> =>
  new Map(
    remotes
      .filter(([name]) => !name.startsWith('draft') || name.startsWith(`${draft}/`))
      .map(([name, schema]) => [ADDRESS + name, JSON.stringify(schema)])
  )

function codecOf(source: SchemaSource): Codec | undefined {
  try {
    return createJsonSchema(source)
  } catch {
    return undefined
  }
}

/** The tests of a group that are answered otherwise, each with what happened. */
function wrongIn({ schema, tests }: Group, $schema: string, remote: ReadonlyMap<string, string>): string[] {
  const text = JSON.stringify(isObject(schema) ? { $schema, ...schema } : schema)
  const used = text.includes(ADDRESS) ? remote : new Map<string, string>()
  const codec = codecOf({ text, used })
  const answered = (data: unknown): string => {
    try {
      codec?.encode(JSON.stringify(data), MAX_BYTES)
      return codec === undefined ? 'no schema' : 'stored'
    } catch (error) {
      return error instanceof Misfit ? 'refused' : 'no end'
    }
  }
  return tests.flatMap(({ description, data, valid }) => {
    const answer = answered(data)
    return answer === (valid ? 'stored' : 'refused') ? [] : [`${description}: ${answer}`]
  })
}

describe('JSON Schema: the public tests', () => {
  for (const [draft, $schema] of Object.entries(DRAFTS))
    it(`of ${draft} are answered as they say, but for those that are listed`, () => {
      const remote = usedIn(draft)
      const found: Record<string, string[]> = {}
      for (const [file, groups] of Object.entries(read<Readonly<Record<string, readonly Group[]>>>(`${draft}.json`)))
        for (const group of groups) {
          const wrong = wrongIn(group, $schema, remote)
          if (wrong.length > 0) found[`${draft} ${file}: ${group.description}`] = wrong
        }
      const listed = differences.flatMap(({ groups }) => Object.entries(groups))
      expect(found).to.deep.equal(Object.fromEntries(listed.filter(([name]) => name.startsWith(`${draft} `))))
    })
})
