import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

/** Words that leave open who acts: the reader has to guess whether a client, a broker, a room or an operator is meant. */
const VAGUE = /\b(?:[Nn]obody|[Ss]omebody|[Aa]nybody|[Ee]verybody|[Ss]omeone|[Ww]hoever)\b/

/** Beginnings of comments that leave out their noun: "Of the topic.", "Those that wait.", "So many are kept." */
const NOUNLESS = /\/\*\*\s*(?:\n\s*\* )?(?:Of|Those|That of|So (?:many|much|long|often)|Whose|It|They) [^\n]*/g

const filesOf = (path: string): string[] =>
  statSync(path).isFile()
    ? [path]
    : readdirSync(path, { withFileTypes: true, recursive: true })
        .filter(entry => entry.isFile() && /\.(ts|md|yaml)$/.test(entry.name))
        .map(entry => join(entry.parentPath, entry.name))
        .filter(file => !/(changelog|cases)\.md$|^docs\/site\/node_modules\//.test(file))

describe('prose', () => {
  it('says who acts', () => {
    const vague = ['README.md', 'docs', 'examples', 'src'].flatMap(filesOf).flatMap(file =>
      readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line, index) => (VAGUE.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : []))
    )
    expect(vague).to.deep.equal([])
  })

  it('names in a comment first what the comment is about', () => {
    const nounless = filesOf('src').flatMap(file =>
      [...readFileSync(file, 'utf8').matchAll(NOUNLESS)].map(([comment]) => `${file}: ${comment}`)
    )
    expect(nounless).to.deep.equal([])
  })
})
