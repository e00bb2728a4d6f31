import fs, { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { expect } from 'chai'
import { makeDirectory } from '../../../src/core/files/make-directory.js'

describe('a directory that is made', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-made-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const modeOf = (...names: string[]): number => statSync(join(folder, ...names)).mode & 0o777

  it('is for its owner alone, with its parents, and may be there already', () => {
    for (const _ of [1, 2]) makeDirectory(join(folder, 'a', 'b'))
    expect([modeOf('a'), modeOf('a', 'b')]).to.deep.equal([0o700, 0o700])
    makeDirectory(relative(process.cwd(), join(folder, 'a', 'c')))
    expect(modeOf('a', 'c')).to.equal(0o700)
    symlinkSync(join(folder, 'a'), join(folder, 'link'))
    makeDirectory(join(folder, 'link', 'd'))
    expect(modeOf('a', 'd')).to.equal(0o700)
    makeDirectory('/')
  })

  it('may be made by another process at the same time', () => {
    const files = {
      ...fs,
      mkdirSync: (path: string) => {
        fs.mkdirSync(path)
        throw Object.assign(new Error('file already exists'), { code: 'EEXIST' })
      }
    } as unknown as typeof fs
    makeDirectory(join(folder, 'a', 'b'), files)
    expect(statSync(join(folder, 'a', 'b')).isDirectory()).to.equal(true)
  })

  it('is refused where a name is no directory, or is too long', () => {
    writeFileSync(join(folder, 'file'), '')
    symlinkSync(join(folder, 'nowhere'), join(folder, 'link'))
    expect(() => makeDirectory(join(folder, 'file'))).to.throw('EEXIST')
    expect(() => makeDirectory(join(folder, 'file', 'a', 'b'))).to.throw('ENOTDIR')
    expect(() => makeDirectory(join(folder, 'link'))).to.throw('EEXIST')
    expect(() => makeDirectory(join(folder, 'x'.repeat(300)))).to.throw('ENAMETOOLONG')
  })

  it('is refused where a file system answers that its parent, which is there, is not', () => {
    expect(() => makeDirectory('/proc/castellan/wal')).to.throw(
      "ENOENT: no such file or directory, mkdir '/proc/castellan'"
    )
  })
})
