import * as fs from 'node:fs'

/** What the storage asks of the file system; a test puts one in its place whose disk is full. */
export type FileSystem = Pick<
  typeof fs,
  | 'closeSync'
  | 'existsSync'
  | 'fstatSync'
  | 'ftruncateSync'
  | 'mkdirSync'
  | 'openSync'
  | 'readdirSync'
  | 'readFileSync'
  | 'readSync'
  | 'renameSync'
  | 'rmSync'
  | 'statSync'
  | 'writeFileSync'
  | 'writeSync'
>

export const nodeFileSystem: FileSystem = fs

/** Only for the user who runs the broker. */
export const FILE_MODE = 0o600
export const FOLDER_MODE = 0o700
