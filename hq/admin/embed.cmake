# embed: writes a C file that holds a file's bytes. cmake -DIN=FILE -DOUT=FILE.c -DNAME=SYMBOL -P embed.cmake
file(READ ${IN} bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "#include \"hq/admin/assets.h\"\n\nconst unsigned char np_asset_${NAME}[] = {${bytes}};\n"
    "const size_t np_asset_${NAME}_len = ${size};\n")
