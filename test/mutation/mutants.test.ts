import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
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

  const changesOf = async (seed: number): Promise<string[]> =>
    (await findMutants([file], seed)).map(({ original, replacement }) => `${original} -> ${replacement}`)

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

  it('are each what the switch puts in force', async () => {
    const all = await findMutants([file], 1)
    const chosen = all.filter(({ original, replacement }) => original === 'bytes > 10' && replacement === 'bytes >= 10')
    expect(chosen.map(({ content }) => content)).to.deep.equal([source.replace('>', '>=')])
    const { files, mutants } = await instrument(chosen)
    expect(mutants.map(({ line, original }) => [line, original])).to.deep.equal([[3, 'bytes > 10']])
    expect(files[0]!.content).to.contain(`stryMutAct_9fa48("${mutants[0]!.id}") ? bytes >= 10`)
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
