import { readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import { EACH_NODE, isForEachNode } from './each-node.js'

describe('what CI runs', () => {
  it('on each Node: files that exist, of all that touches Node itself, and of every API', () => {
    const files = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.ts'))
    const found = files.filter(isForEachNode).map(file => file.replace(/(\.[a-z]+)?\.test\.ts$/, ''))
    expect(found.sort()).to.deep.equal(Object.values(EACH_NODE).flat().sort())
    const apis = readdirSync('src/apis', { withFileTypes: true }).filter(entry => entry.isDirectory())
    expect(Object.keys(EACH_NODE)).to.have.members([
      ...['engine', 'sockets', 'files', 'streams', 'threads', 'tls', 'zlib'],
      ...apis.map(({ name }) => name)
    ])
  })

  it('leaves no kind of test to nobody: explore runs each script for tests', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    const explored = readFileSync('test/runs/explore.ts', 'utf8')
    const rest = Object.keys(scripts).filter(name => name.startsWith('test:') && !explored.includes(`run ${name} `))
    expect(rest).to.deep.equal(['test:alerts'])
    expect(readFileSync('.ci/run', 'utf8')).to.include('test/runs/alerts/run.ts')
  })
})
