import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { changedLines } from './changed-lines.js'
import { findMutants, instrument } from './mutants.js'
import { chosenFiles } from './rooms.js'

const source = `export function size(bytes: number, log: { warn(what: object, text: string): void }): string {
  log.warn({ bytes }, 'looked at')
  if (bytes > 10) throw new Error('more than ten')
  return bytes === 0 ? 'none' : 'some'
}
`

describe('mutation: mutants of a source', () => {
  let folder: string
  let file: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-mutants-'))
    file = join(folder, 'size.ts')
    writeFileSync(file, source)
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const changesOf = async (seed: number, lines?: readonly [number, number]): Promise<string[]> => {
    const changed = lines === undefined ? undefined : new Map([[file, [lines]]])
    return (await findMutants([file], seed, changed)).map(
      ({ original, replacement }) => `${original} -> ${replacement}`
    )
  }

  it('change conditions and words, but neither what is logged nor sentences', async () => {
    const changes = await changesOf(1)
    expect(changes).to.include.members(['bytes > 10 -> bytes >= 10', '\'none\' -> ""', 'bytes === 0 -> bytes !== 0'])
    expect(changes.join('\n')).not.to.match(/^\{ bytes \}|^'looked at'|^'more than ten'/m)
  })

  it('come in an order that the seed alone decides', async () => {
    expect(await changesOf(1)).to.deep.equal(await changesOf(1))
    expect(await changesOf(2)).not.to.deep.equal(await changesOf(1))
    expect(await changesOf(2)).to.have.members(await changesOf(1))
  })

  it('touch changed lines only, if these are given', async () => {
    expect(await changesOf(1, [4, 4]))
      .to.include('\'none\' -> ""')
      .and.not.include('bytes > 10 -> bytes >= 10')
  })

  it('are each what the switch puts in force', async () => {
    const all = await findMutants([file], 1)
    const chosen = all.filter(({ original, replacement }) => original === 'bytes > 10' && replacement === 'bytes >= 10')
    expect(chosen.map(({ content }) => content())).to.deep.equal([source.replace('>', '>=')])
    const { files, mutants } = await instrument(chosen)
    expect(mutants.map(({ line, original }) => [line, original])).to.deep.equal([[3, 'bytes > 10']])
    expect(files[0]!.content).to.contain(`stryMutAct_9fa48("${mutants[0]!.id}") ? bytes >= 10`)
  })
})

describe('mutation: changed lines', () => {
  it('are those that are new in sources', () => {
    const diff = [
      '--- a/src/producer/log/seal.ts\n+++ b/src/producer/log/seal.ts\n@@ -3,2 +3,4 @@ export\n-a\n-b\n+c\n+d\n+e\n+f',
      '@@ -20 +22 @@\n-a\n+b\n@@ -30,2 +31,0 @@\n-a\n-b',
      '--- /dev/null\n+++ b/src/producer/log/new.ts\n@@ -0,0 +1,2 @@\n+a\n+b',
      '--- a/src/core/json/control-bytes.wat\n+++ b/src/core/json/control-bytes.wat\n@@ -1 +1 @@\n-a\n+b',
      '--- a/src/producer/log/old.ts\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b'
    ].join('\n')
    expect([...changedLines(diff)]).to.deep.equal([
      [
        'src/producer/log/seal.ts',
        [
          [3, 6],
          [22, 22]
        ]
      ],
      ['src/producer/log/new.ts', [[1, 2]]]
    ])
  })
})

describe('mutation: the files of a room', () => {
  const files = ['src/producer/log/seal.ts', 'src/producer/log/lz4/frame.ts', 'src/producer/log/segment.ts']

  it('are all of them, or those of one of several patterns', () => {
    expect(chosenFiles(files, [])).to.deep.equal(files)
    expect(chosenFiles(files, ['seal', 'segment'])).to.deep.equal([
      'src/producer/log/seal.ts',
      'src/producer/log/segment.ts'
    ])
  })

  it('are not those of a pattern behind an exclamation mark', () => {
    expect(chosenFiles(files, ['!/lz4/'])).to.deep.equal(['src/producer/log/seal.ts', 'src/producer/log/segment.ts'])
    expect(chosenFiles(files, ['s', '!seal', '!segment'])).to.deep.equal(['src/producer/log/lz4/frame.ts'])
  })
})
