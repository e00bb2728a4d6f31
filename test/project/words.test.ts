import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { metricMeanings } from '../../src/core/metrics/metric-names.js'
import { describeSettings } from '../../src/server/config/schema.js'

/**
 * Words of our own that gave way to the words of the field, and the word that took the place of each (docs/develop/architecture.md).
 * They may be no part of the name of anything: `ledger` refuses `ledgerOf`, `MAX_LEDGERS` and `ledger-table.ts`.
 */
const retired: ReadonlyMap<string, string> = new Map([
  ['slab', 'segment of the durable log, or buffer of memory'],
  ['strain', 'load shedding'],
  ['ledger', 'open requests'],
  ['ticket', 'PendingProduce'],
  ['intake', 'admission'],
  ['dialect', 'API'],
  ['keeper', 'owner'],
  ['door', 'access, or listener'],
  ['hands', 'runtime, or what it does'],
  ['hand over', 'revoke'],
  ['give back', 'release'],
  ['commit line', 'commit order'],
  ['harness', 'stage'],
  ['fixture', 'stage'],
  ['under test', 'stage, or what it is']
])

/** Names that others have given. */
const foreign = new Set([
  'ZOO_KEEPER',
  'zooKeeper',
  'SSL_OP_NO_TICKET',
  'ARION_SLAB_SIZE',
  'shakeHands',
  'num-slabs',
  'num-active-slabs',
  'num_slabs',
  'zoo_keeper'
])

/** Names of files on disks of users stay, and the former names of settings are known to tell of the new ones. */
const exempt = new Set([
  'src/core/settings/setting-names.ts',
  'test/project/words.test.ts',
  'test/server/config/config.test.ts'
])

/** Forms of verbs that are not made by an ending. */
const irregular: ReadonlyMap<string, string> = new Map([
  ['given', 'give'],
  ['gave', 'give']
])

/** A word without the ending of a plural or a participle: `handing` and `handed` are `hand`. */
function stemOf(word: string): string {
  const whole = irregular.get(word) ?? word
  const stem = whole.replace(/(?:ing|ed|s)$/, '')
  return (stem.length < 3 ? whole : stem).replace(/e$/, '')
}

/** The words of a name, each between blanks. */
const words = (name: string): string =>
  ` ${name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .replace(/[^a-zA-Z\d]+/g, ' ')
    .toLowerCase()} `
const stems = (name: string): string => words(name).replace(/[a-z]+/g, stemOf)

/** A plural is retired alone, every other word in all its forms. */
const has = (name: string, word: string): boolean =>
  word.endsWith('s') ? words(name).includes(` ${word} `) : stems(name).includes(stems(word))

const known = new Map<string, readonly string[]>()
function complaintsAbout(name: string): readonly string[] {
  let complaints = known.get(name)
  if (complaints === undefined) known.set(name, (complaints = newComplaintsAbout(name)))
  return complaints
}

const newComplaintsAbout = (name: string): string[] =>
  foreign.has(name)
    ? []
    : [...retired].filter(([word]) => has(name, word)).map(([word, instead]) => `${name}: "${word}" is ${instead} now`)

const files = ['src', 'test', 'examples'].flatMap(folder =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map(name => join(folder, name))
    .filter(name => /\.(ts|mjs)$/.test(name) && !name.includes('node_modules'))
)

/** Comments and texts: whoever reads them judges their words. */
const PROSE = /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
const IDENTIFIER = /[A-Za-z_$][\w$]*/g

/** In patterns; the files of the durable log keep their names on the disks of users. */
const FILE_OF_THE_LOG = '\\.slab'

const identifiersIn = (text: string): Set<string> =>
  new Set(text.replaceAll(FILE_OF_THE_LOG, ' ').replace(PROSE, ' ').match(IDENTIFIER))

describe('retired words', () => {
  it('are part of no identifier', () => {
    const complaints = files
      .filter(file => !exempt.has(file))
      .flatMap(file =>
        [...identifiersIn(readFileSync(file, 'utf8'))]
          .flatMap(complaintsAbout)
          .map(complaint => `${file}: ${complaint}`)
      )
    expect(complaints).to.deep.equal([])
    expect(identifiersIn('const ledgerOf = (`ledger`) // ledger').has('ledgerOf')).to.equal(true)
    expect(identifiersIn("const of = ('ledger') /* ledger */")).to.deep.equal(new Set(['const', 'of']))
  })

  it('are part of no file name', () => {
    expect(files.flatMap(file => complaintsAbout(file))).to.deep.equal([])
  })

  it('are part of no metric and no setting', () => {
    const settings = describeSettings().leaves.map(({ path }) => path.join('.'))
    expect(settings).to.not.have.lengthOf(0)
    expect(metricMeanings.size).to.be.above(0)
    expect([...settings, ...metricMeanings.keys()].flatMap(complaintsAbout)).to.deep.equal([])
  })

  it('are recognised in every form of a name', () => {
    for (const name of [
      'ledgerOf',
      'MAX_LEDGERS',
      'ledger-table.ts',
      'takeLedgers',
      'delivery.ledgers',
      'handOverMs',
      'handingOver',
      'givenBack',
      'isStrained',
      'ApiDoor'
    ]) {
      expect(complaintsAbout(name), name).to.have.lengthOf(1)
    }
    expect(['ledge', 'slabber', 'indoors', 'overflow'].flatMap(complaintsAbout)).to.deep.equal([])
  })
})
