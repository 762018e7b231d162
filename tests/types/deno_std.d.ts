declare module "deno-std/*";
declare module "@std/cli/*";
declare module "@std/http/*";
