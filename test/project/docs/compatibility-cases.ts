import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const HEAD = `# The numbered cases

For those who want to know what has been tried of an imitated system. What it does was written down as numbered
cases before it was built, and titles of tests begin with the cases that they show: \`arion 26\`, \`pixy H51\`. This page lists these titles by the
file of the tests; \`npm test -- --grep "pixy H51"\` runs the tests of one case. \`npm run docs\` makes the page anew.
`

/** The systems with numbered cases, in the order of the page, by the word that titles begin with; kprf's have no numbers. */
const SYSTEMS: readonly (readonly [word: string, heading: string])[] = [
  ['kafboy', '[kafboy](../docs/compatibility/kafboy.md)'],
  ['ekaf', '[ekaf](../docs/compatibility/kafboy.md), the producer of kafboy'],
  ['arion', '[Arion](../docs/compatibility/arion.md)'],
  ['pixy', '[Kafka-Pixy](../docs/compatibility/kafka-pixy.md)'],
  ['castle', '[Castle Router](../docs/compatibility/castle.md)'],
  ['confluent', "[Confluent's REST Proxy](../docs/compatibility/confluent.md)"]
]

/** A title in a source: its quote, then the text up to the same quote. */
const TITLE = /\b(?:describe|it)(?:\.skip)?\(\s*(['"`])((?:\\.|(?!\1).)+)\1/g
/** The cases at the beginning of a title: `pixy H3`, `pixy D1 D3`, `arion 5, arion 6`, `ekaf 5 and 6`. */
const CASE = /^(?:(kafboy|ekaf|arion|pixy|castle|confluent) )?([A-Z]?\d[\w.-]*)(?=[:, ]|$)(?:,? and |,? )?/

interface NumberedTitle {
  readonly system: string
  readonly number: string
  readonly sentence: string
  readonly file: string
}

/** test/cases.md, made of the titles below `folder`: per system a table for each file of tests. */
export function casesPage(folder = 'test'): string {
  const titles = testFiles(folder).flatMap(titlesIn)
  const sections = SYSTEMS.map(([system, heading]) => {
    const ofSystem = titles.filter(title => title.system === system).sort(inOrder)
    const files = [...new Set(ofSystem.map(({ file }) => file))]
    const tables = files.map(file =>
      tableOf(
        file,
        ofSystem.filter(title => title.file === file)
      )
    )
    return `## ${heading}\n\n${tables.join('\n\n')}`
  })
  return `${HEAD}\n${sections.join('\n\n')}\n`
}

/** One row for each sentence, with all cases that it shows. */
function tableOf(file: string, titles: readonly NumberedTitle[]): string {
  const numbers = new Map<string, Set<string>>()
  for (const { sentence, number } of titles) {
    numbers.set(sentence, (numbers.get(sentence) ?? new Set()).add(number))
  }
  const rows = [...numbers].map(([sentence, cases]) => `| ${[...cases].join(', ')} | ${textOf(sentence)} |`)
  return `### \`${file}\`\n\n| cases | what holds |\n|---|---|\n${rows.join('\n')}`
}

const testFiles = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(file => /(?:\.test|-cases)\.ts$/.test(file))
    .map(file => join(folder, file))
    .sort()

function titlesIn(file: string): NumberedTitle[] {
  return [...readFileSync(file, 'utf8').matchAll(TITLE)].flatMap(([, , title = '']) => {
    const found: Omit<NumberedTitle, 'sentence' | 'file'>[] = []
    let rest = title
    for (let match = CASE.exec(rest); match; match = CASE.exec(rest)) {
      const system = match[1] ?? found.at(-1)?.system
      if (system === undefined) break
      found.push({ system, number: match[2]! })
      rest = rest.slice(match[0].length)
    }
    const sentence = rest.replace(/^[:, ]+/, '').replace(/\\(['"`])/g, '$1')
    return found.map(one => ({ ...one, sentence, file }))
  })
}

const inOrder = (a: NumberedTitle, b: NumberedTitle): number =>
  a.number.localeCompare(b.number, 'en', { numeric: true }) || a.file.localeCompare(b.file, 'en')

/** Titles have parts that are filled in when the tests run. */
const textOf = (sentence: string): string => sentence.replace(/\$\{[^}]*\}/g, '…').replaceAll('|', '\\|')

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync('test/cases.md', casesPage())
}
