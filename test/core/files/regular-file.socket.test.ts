import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { readRegularFile } from '../../../src/core/files/regular-file.js'

describe('a small file', () => {
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-files-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  it('is read up to its limit', () => {
    const path = join(directory, 'text')
    writeFileSync(path, 'grün')
    expect(readRegularFile(path, 5)).to.equal('grün')
    expect(() => readRegularFile(path, 4)).to.throw('more than 4 bytes')
    expect(() => readRegularFile(join(directory, 'none'), 4)).to.throw('ENOENT')
  })

  it('is no pipe, whose writer would be waited for', () => {
    const pipe = join(directory, 'pipe')
    execFileSync('mkfifo', [pipe])
    expect(() => readRegularFile(pipe, 100)).to.throw('not a regular file')
  })
})
