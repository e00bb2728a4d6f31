import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

/** Words that leave open who acts: the reader has to guess whether a client, a broker, a room or an operator is meant. */
const VAGUE = /\b(?:[Nn]obody|[Ss]omebody|[Aa]nybody|[Ee]verybody|[Ss]omeone|[Ww]hoever)\b/

/** What has been read with that eye. A room is added when it is clean. */
const read = [
  'README.md',
  'docs',
  'examples',
  ...['access', 'actor', 'app', 'app.ts', 'broker', 'config', 'dialects/kprf', 'errors.ts', 'http', 'json', 'main'],
  ...['main.ts', 'index.ts', 'metrics', 'model.ts', 'operations.ts', 'printable.ts', 'reading', 'settings']
].map((path, index) => (index < 3 ? path : join('src', path)))

const filesOf = (path: string): string[] =>
  statSync(path).isFile()
    ? [path]
    : readdirSync(path, { withFileTypes: true, recursive: true })
        .filter(entry => entry.isFile() && /\.(ts|md|yaml)$/.test(entry.name))
        .map(entry => join(entry.parentPath, entry.name))
        .filter(file => !/changelog\.md$|compatibility\/(arion|kafboy|pixy)|wal-format\.md$|testing\.md$/.test(file))

describe('house 11: prose', () => {
  it('says who acts', () => {
    const vague = read.flatMap(filesOf).flatMap(file =>
      readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line, index) => (VAGUE.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : []))
    )
    expect(vague).to.deep.equal([])
  })
})
