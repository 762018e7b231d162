/**
 * `serveDir` of `@std/http/file-server`, as far as it is used here. The npm package that `@std` comes
 * from here has its file, but leaves out others that it imports, so the file server of the command
 * line does the work, on both runtimes. With `jsr:` in the import map this file goes.
 *
 * @module
 */

import { serveFolder } from "./serve/file_server.ts";
import { Folder } from "./serve/folder.ts";

/** What {@linkcode serveDir} is to serve. */
export interface ServeDirOptions {
  /**
   * The folder.
   * @default {"."}
   */
  fsRoot?: string;
  /**
   * Whether a folder is answered by its index.html.
   * @default {true}
   */
  showIndex?: boolean;
  /**
   * Whether a folder is answered by a page that lists it.
   * @default {false}
   */
  showDirListing?: boolean;
  /**
   * Whether names that begin with a dot are served.
   * @default {false}
   */
  showDotfiles?: boolean;
  /**
   * Whether nothing is logged, which is never done here.
   * @default {false}
   */
  quiet?: boolean;
}

/** Answers a request by the files of a folder. */
export function serveDir(request: Request, options: ServeDirOptions = {}): Promise<Response> {
  const { fsRoot = ".", showIndex, showDirListing = false, showDotfiles } = options;
  const folder = new Folder(fsRoot, showDotfiles === undefined ? {} : { hidden: showDotfiles });
  return serveFolder(request, folder, {
    ...showIndex !== undefined && { index: showIndex },
    listing: showDirListing,
  });
}
